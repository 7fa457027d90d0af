-- How well does the prompt cache work, and what would it save? One row for each of what is asked for and each prefix (tools
-- and system prompt); prefixes of few calls a UTC day are one row, `rare`. `priced_rows` are those of cache_health_rows: costs are sums
-- over the calls whose booked cost is that of today's prices; NULL for a way that has no price for one of them.
with ways as (
    select
        trace_id,
        span_id,
        max(read_5m) as known_tokens,
        sum(replayed) filter (where policy = 'as_was') as was,
        sum(replayed) filter (where policy = 'none') as uncached,
        sum(replayed) filter (where policy = 'whole_5m') as whole_5m,
        sum(replayed) filter (where policy = 'front_5m') as front_5m,
        sum(replayed) filter (where policy = 'whole_1h') as whole_1h,
        sum(replayed) filter (where policy = 'front_1h') as front_1h,
        bool_and(
            policy <> 'as_was'
            or coalesce(
                (cost_input, cost_cache_read, cost_cache_write) = (booked_input, booked_cache_read, booked_cache_write), false
            )
        ) as is_known
    from (
        select
            *,
            cost_input + cost_cache_read + cost_cache_write as replayed
        from priced_rows
    )
    group by trace_id, span_id
),

calls as (
    select
        bucket,
        columns('^by_.+$'),
        prefix_chain[1]::varchar as link,
        case
            when link is null then null
            when count(*) over (partition by dt, link) < $few then 'rare'
            else link
        end as prefix,
        input_tokens,
        coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0) as read_tokens,
        case when prefix_chain is not null then greatest(coalesce(known_tokens, 0), read_tokens) end as cacheable_tokens,
        cost_input + cost_cache_read + cost_cache_write as input_usd,
        coalesce(is_known, false) as is_known,
        was,
        uncached,
        whole_5m,
        front_5m,
        whole_1h,
        front_1h
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    left join ways using (trace_id, span_id)
    where input_tokens > 0 and billing_basis is distinct from 'cached'
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    prefix,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(cacheable_tokens)::bigint as cacheable_tokens,
    sum(read_tokens)::bigint as cache_read_tokens,
    sum(read_tokens) filter (where cacheable_tokens is not null)::bigint as hit_tokens,
    sum(input_usd) as input_usd,
    count(*) filter (where is_known) as replayed_calls,
    sum(was) filter (where is_known) as was,
    sum(uncached) filter (where is_known) as uncached,
    case when count(whole_5m) filter (where is_known) = replayed_calls then sum(whole_5m) filter (where is_known) end as whole_5m,
    case when count(front_5m) filter (where is_known) = replayed_calls then sum(front_5m) filter (where is_known) end as front_5m,
    case when count(whole_1h) filter (where is_known) = replayed_calls then sum(whole_1h) filter (where is_known) end as whole_1h,
    case when count(front_1h) filter (where is_known) = replayed_calls then sum(front_1h) filter (where is_known) end as front_1h
from calls
group by all
order by all;
