-- What would the cached input of calls have cost uncached? Two rows a call that used the prompt cache: as it was
-- (`as_if` false), and as if it had used none.
with cached as (
    select *
    from unpriced_in($files, $begin, $end, $only, $but, $tags_only, $tags_but)
    where
        ($trace::varchar is null or trace_id = $trace)
        and coalesce(cache_read_audio_tokens, 0) = 0
        and coalesce(cache_read_tokens, 0)
        + written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) > 0
)

select
    *,
    false as as_if
from cached
union all
select
    * replace (
        coalesce(input_uncached_tokens, 0) + coalesce(cache_read_tokens, 0)
        + written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) as input_uncached_tokens,
        0 as cache_read_tokens,
        0 as cache_write_5m_tokens,
        0 as cache_write_1h_tokens,
        0 as cache_write_12h_tokens
    ),
    true as as_if
from cached;
