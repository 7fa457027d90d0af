-- What would the input of calls have cost under other ways of caching it? Six rows a call whose prompt has a chain: `as_was`,
-- `none` (no cache), and the whole prompt or its front (tools and system prompt) written for 5 minutes or 1 hour and read
-- where a call to the same model sent it in that time. Fewer than `$least` tokens are neither.
with calls as (
    select
        *,
        (
            input_tokens * (coalesce(tools_size, 0) + coalesce(system_size, 0))::hugeint // nullif(
                coalesce(tools_size, 0) + coalesce(system_size, 0) + coalesce(history_size, 0)
                + coalesce(tool_results_size, 0) + coalesce(user_size, 0),
                0
            )
        )::bigint as front_tokens,
        coalesce(provider_account, api_key_hash, '') as account
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
    where len(prefix_chain) > 0 and input_tokens > 0
),

-- How long a prompt is that ends with a link.
ends as (
    select
        provider,
        priced_as,
        account,
        prefix_chain[-1] as link,
        max(input_tokens) as tokens
    from calls
    group by all
),

links as (
    select
        trace_id,
        span_id,
        provider,
        priced_as,
        account,
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
            partition by provider, priced_as, account, link order by start_time, span_id
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
        left join ends using (provider, priced_as, account, link)
    )
    group by trace_id, span_id
),

replayed as (
    select
        unpriced.*,
        coalesce(input_uncached_tokens, 0) + coalesce(cache_read_tokens, 0)
        + written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) as text_tokens,
        case when text_tokens >= $least then text_tokens else 0 end as whole,
        case when front_tokens >= $least then least(front_tokens, text_tokens) else 0 end as front,
        case when known_5m >= $least then least(known_5m, text_tokens) else 0 end as read_5m,
        case when known_1h >= $least then least(known_1h, text_tokens) else 0 end as read_1h,
        case when front_5m then front else 0 end as front_read_5m,
        case when front_1h then front else 0 end as front_read_1h,
        unnest(['as_was', 'none', 'whole_5m', 'front_5m', 'whole_1h', 'front_1h']) as policy
    from unpriced_in($files, $begin, $end, $only, $but, $tags_only, $tags_but) as unpriced
    inner join known using (trace_id, span_id)
    inner join (select trace_id, span_id, front_tokens from calls) using (trace_id, span_id)
    where coalesce(cache_read_audio_tokens, 0) = 0
)

select
    * replace (
        case policy
            when 'as_was' then cache_read_tokens
            when 'whole_5m' then read_5m
            when 'whole_1h' then read_1h
            when 'front_5m' then front_read_5m
            when 'front_1h' then front_read_1h
            else 0
        end as cache_read_tokens,
        case policy
            when 'as_was' then cache_write_5m_tokens
            when 'whole_5m' then whole - least(whole, read_5m)
            when 'front_5m' then front - front_read_5m
            else 0
        end as cache_write_5m_tokens,
        case policy
            when 'as_was' then cache_write_1h_tokens
            when 'whole_1h' then whole - least(whole, read_1h)
            when 'front_1h' then front - front_read_1h
            else 0
        end as cache_write_1h_tokens,
        case policy when 'as_was' then cache_write_12h_tokens else 0 end as cache_write_12h_tokens,
        case policy
            when 'as_was' then input_uncached_tokens
            when 'none' then text_tokens
            when 'front_5m' then text_tokens - front
            when 'front_1h' then text_tokens - front
            else text_tokens - whole
        end as input_uncached_tokens
    )
from replayed;
