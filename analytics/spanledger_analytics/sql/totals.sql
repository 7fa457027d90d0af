-- What do the calls of a period come to? One row for each of what is asked for (`$by`, `$tags`), and each time bucket where
-- one is asked for; moments are UTC.
select
    bucket,
    columns('^by_(.+)$') as '\1',
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0))::bigint as cache_read_tokens,
    sum(
        coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0) + coalesce(cache_write_12h_tokens, 0)
    )::bigint as cache_write_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_usd) as cost_usd,
    sum(cost_input) as cost_input,
    sum(cost_cache_read) as cost_cache_read,
    sum(cost_cache_write) as cost_cache_write,
    sum(cost_output) as cost_output,
    sum(cost_other) as cost_other,
    sum(retry_cost_usd) as retry_cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0)::decimal(38, 12) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls,
    count(*) filter (where status = 'error') as errors,
    sum(duration_us)::bigint as duration_us
from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
where $trace::varchar is null or trace_id = $trace
group by all
order by all;
