-- The calls that a router left at the model that was asked for, at the model that its rule chose; one row a call.
-- Cached input counts as uncached, as another model has none of it cached.
select
    unpriced.* replace (
        route_model as request_model,
        route_model as response_model,
        input_tokens as input_uncached_tokens,
        0 as cache_read_tokens,
        0 as cache_write_5m_tokens,
        0 as cache_write_1h_tokens,
        0 as cache_write_12h_tokens
    )
from unpriced_in($files, $begin, $end, $only, $but, $tags_only, $tags_but) as unpriced
inner join (
    select
        trace_id,
        span_id,
        route_model
    from controlled_in($files)
    where route_model is not null and coalesce(route_arm, 'shadow') <> 'routed'
) as routed using (trace_id, span_id);
