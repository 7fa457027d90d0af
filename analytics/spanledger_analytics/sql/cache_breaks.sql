-- What changed when the cache of a line broke, since when, and what was lost? One row a break. A hash is new if no call before
-- the quarter of an hour that the break was seen in, and the one before it, had it; having no system prompt is a hash, too,
-- and a call without fingerprints says nothing. `changed_rows` are those of
-- cache_breaks_rows, `priced_rows` those of cache_breaks_ways.
with sent as (
    select
        rowid as call,
        * replace (
            case when prefix_chain[1] is not null then coalesce(system_hash, '') end as system_hash,
            case when prefix_chain[1] is not null then coalesce(tools_hash, '') end as tools_hash
        )
    from changed_rows
),

calls as (
    select
        *,
        start_time < broken_from - interval 15 minutes as is_before,
        start_time >= broken_from as is_after,
        system_hash is null or bool_or(is_before) over (partition by number, system_hash) as knew_system,
        tools_hash is null or bool_or(is_before) over (partition by number, tools_hash) as knew_tools,
        prefix_chain[2] is null or bool_or(is_before) over (partition by number, prefix_chain[2]) as knew_first,
        row_number() over (partition by number, prefix_chain[2] order by start_time) > 1 as is_repeated
    from sent
),

changes as (
    select
        number,
        count(*) filter (where is_after) as after_calls,
        count(*) filter (where is_before) as before_calls,
        count(*) filter (where is_after and not knew_system) as system_calls,
        count(distinct system_hash) filter (where is_after and not knew_system) as systems,
        min(start_time) filter (where not is_before and not knew_system) as system_since,
        count(*) filter (where is_after and not knew_tools) as tools_calls,
        count(distinct tools_hash) filter (where is_after and not knew_tools) as tools,
        min(start_time) filter (where not is_before and not knew_tools) as tools_since,
        count(*) filter (where is_before and is_repeated and len(prefix_chain) > 1) as first_before,
        count(*) filter (where is_after and not knew_first) as first_calls,
        count(distinct prefix_chain[2]) filter (where is_after and not knew_first) as firsts,
        min(start_time) filter (where not is_before and not knew_first) as first_since,
        min(start_time) filter (where is_after) as seen_since
    from calls
    group by number
),

-- More than half of the calls have what none had before.
told as (
    select
        number,
        case
            when 2 * system_calls > after_calls then 'system_prompt'
            when 2 * tools_calls > after_calls then 'tools'
            when 2 * first_calls > after_calls and 2 * first_before > before_calls then 'first_message'
        end as changed,
        case changed
            when 'system_prompt' then system_since when 'tools' then tools_since when 'first_message' then first_since
            else seen_since
        end as since,
        case changed
            when 'system_prompt' then 2 * systems > system_calls and systems > 1
            when 'tools' then 2 * tools > tools_calls and tools > 1
            when 'first_message' then 2 * firsts > first_calls and firsts > 1
        end as is_new_each_time
    from changes
),

losses as (
    select
        call,
        sum(case when as_if then 0 - pico_of(replayed) else pico_of(replayed) end) as lost_pico,
        count(replayed) = 2 and bool_and(
            as_if or (cost_input, cost_cache_read, cost_cache_write) = (booked_input, booked_cache_read, booked_cache_write)
        ) as is_known
    from (
        select
            *,
            cost_input + cost_cache_read + cost_cache_write as replayed
        from priced_rows
    )
    group by call
)

select
    number,
    any_value(changed) as changed,
    any_value(is_new_each_time) as is_new_each_time,
    any_value(since) as since,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(coalesce(cache_read_tokens, 0))::bigint as read_tokens,
    sum(dollars(lost_pico)) filter (where is_known) as lost_usd
from calls
inner join told using (number)
left join losses using (call)
where start_time >= since
group by number
order by number;
