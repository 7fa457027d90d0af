-- What would calls have been if as much of them had been read from the cache and written to it as before it broke? Two rows a
-- call of cache_breaks_rows since then: as it was (`as_if` false), and so.
with calls as (
    select
        *,
        rowid as call,
        coalesce(input_uncached_tokens, 0) + coalesce(cache_read_tokens, 0)
        + written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) as text_tokens,
        (text_tokens::hugeint * read_before // input_before)::bigint as read_then,
        (text_tokens::hugeint * write_5m_before // input_before)::bigint as written_5m_then,
        (text_tokens::hugeint * write_1h_before // input_before)::bigint as written_1h_then,
        (text_tokens::hugeint * write_12h_before // input_before)::bigint as written_12h_then,
        unnest([false, true]) as as_if
    from changed_rows
    where start_time >= broken_from - interval 15 minutes
)

select
    * replace (
        case
            when as_if then text_tokens - read_then - written_5m_then - written_1h_then - written_12h_then
            else input_uncached_tokens
        end as input_uncached_tokens,
        case when as_if then read_then else cache_read_tokens end as cache_read_tokens,
        case when as_if then written_5m_then else cache_write_5m_tokens end as cache_write_5m_tokens,
        case when as_if then written_1h_then else cache_write_1h_tokens end as cache_write_1h_tokens,
        case when as_if then written_12h_then else cache_write_12h_tokens end as cache_write_12h_tokens
    )
from calls;
