-- What do the calls of a period come to? As `totals`, by cells of whichever rollup tells what is asked for apart.
select
    bucket,
    columns('^by_(.+)$') as '\1',
    sum(calls)::bigint as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cache_read_tokens)::bigint as cache_read_tokens,
    sum(cache_write_tokens)::bigint as cache_write_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_usd) as cost_usd,
    sum(cost_input) as cost_input,
    sum(cost_cache_read) as cost_cache_read,
    sum(cost_cache_write) as cost_cache_write,
    sum(cost_output) as cost_output,
    sum(cost_other) as cost_other,
    sum(retry_cost_usd) as retry_cost_usd,
    coalesce(sum(estimated_usd), 0)::decimal(38, 12) as estimated_usd,
    sum(unpriced_calls)::bigint as unpriced_calls,
    sum(estimated_calls)::bigint as estimated_calls,
    sum(provisional_calls)::bigint as provisional_calls,
    sum(errors)::bigint as errors,
    sum(duration_us)::bigint as duration_us
from asked_cells_in($cells, $begin, $end, $bucket, $by, $tags, $only, $but)
group by all
order by all;
