-- What calls would be under other ways of caching. Six rows a row of cache_health_rows: `as_was`, `none` (no cache), and the
-- whole prompt or its front written for 5 minutes or 1 hour, and read where it was sent before in that time.
with replayed as (
    select
        *,
        unnest(['as_was', 'none', 'whole_5m', 'front_5m', 'whole_1h', 'front_1h']) as policy
    from changed_rows
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
