-- Rows of one day whose parts don't add up to their cost, or that have one without the other; one row a row.
select
    trace_id,
    span_id,
    cost_usd,
    cost_input + cost_cache_read + cost_cache_write + cost_output + cost_other as parts_usd
from rows_in($files)
where cost_usd is distinct from cost_input + cost_cache_read + cost_cache_write + cost_output + cost_other
order by trace_id, span_id;
