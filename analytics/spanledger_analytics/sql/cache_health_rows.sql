-- The calls whose prompt has a chain, and how many of their tokens could have been cached. One row a call: `whole` and `front`
-- (tools and system prompt) are what could be written, `read_` what a call to the same model sent at most so long before.
-- Fewer than `$least` tokens are neither.
with calls as (
    select
        dt,
        trace_id,
        span_id,
        start_time,
        prefix_chain,
        input_tokens,
        hash(provider, priced_as, coalesce(provider_account, api_key_hash, '')) as scope,
        (
            input_tokens * (coalesce(tools_size, 0) + coalesce(system_size, 0))::hugeint // nullif(
                coalesce(tools_size, 0) + coalesce(system_size, 0) + coalesce(history_size, 0)
                + coalesce(tool_results_size, 0) + coalesce(user_size, 0),
                0
            )
        )::bigint as front_tokens
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
    where len(prefix_chain) > 0 and input_tokens > 0 and billing_basis is distinct from 'cached'
),

-- How long a prompt is that ends with a link.
ends as (
    select
        dt,
        scope,
        prefix_chain[-1] as link,
        max(input_tokens) as tokens
    from calls
    group by all
),

links as (
    select
        dt,
        trace_id,
        span_id,
        scope,
        start_time,
        input_tokens,
        front_tokens,
        unnest(list_transform(prefix_chain, lambda link, place: {link: link, is_first: place = 1}), recursive := true)
    from calls
),

sent as (
    select
        *,
        start_time - lag(start_time) over (
            partition by dt, link, scope order by start_time, span_id
        ) as ago
    from links
),

known as (
    select
        trace_id,
        span_id,
        max(least(tokens_there, input_tokens)) filter (where ago <= interval 5 minutes) as known_5m,
        max(least(tokens_there, input_tokens)) filter (where ago <= interval 1 hour) as known_1h,
        coalesce(bool_or(is_first and ago <= interval 5 minutes), false) as front_5m,
        coalesce(bool_or(is_first and ago <= interval 1 hour), false) as front_1h
    from (
        select
            sent.*,
            case
                when tokens is null or is_first and coalesce(front_tokens, 0) > tokens then coalesce(front_tokens, 0) * is_first::int
                else tokens
            end as tokens_there
        from sent
        left join ends using (dt, scope, link)
    )
    group by trace_id, span_id
)

select
    unpriced.*,
    coalesce(input_uncached_tokens, 0) + coalesce(cache_read_tokens, 0)
    + written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) as text_tokens,
    case when text_tokens >= $least then text_tokens else 0 end as whole,
    case when front_tokens >= $least then least(front_tokens, text_tokens) else 0 end as front,
    case when known_5m >= $least then least(known_5m, text_tokens) else 0 end as read_5m,
    case when known_1h >= $least then least(known_1h, text_tokens) else 0 end as read_1h,
    case when front_5m then front else 0 end as front_read_5m,
    case when front_1h then front else 0 end as front_read_1h
from unpriced_in($files, $begin, $end, $only, $but, $tags_only, $tags_but) as unpriced
inner join known using (trace_id, span_id)
inner join (select trace_id, span_id, front_tokens from calls) using (trace_id, span_id)
where coalesce(cache_read_audio_tokens, 0) = 0;
