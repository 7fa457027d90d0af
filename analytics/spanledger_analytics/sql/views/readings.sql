-- What agents' own metrics count; one row a data point, however often it was sent.
create or replace macro readings_in(files) as table
select *
from rows_in(files)
qualify row_number() over (partition by series, since, time order by ingested_at) = 1;

-- Metrics beside rows: one row an hour, metric, side, service, model, and session where the metric tells it. Points of
-- a cumulative metric become what came since the point before; a value that fell began anew. A call is of the hour in
-- which it ended, as metrics count it then, or up to a minute later.
create or replace macro cross_checks_in(reading_files, call_files) as table
with increments as (
    select
        date_trunc('hour', time) as hour,
        metric,
        side,
        service_name,
        session_id,
        model,
        case
            when temporality = 'delta' or lag(value, 1, 0) over points > value then value
            else value - lag(value, 1, 0) over points
        end as counted
    from readings_in(reading_files)
    window points as (partition by series, since order by time)
),

metered as (
    select hour, metric, side, service_name, session_id, model, sum(counted) as metered
    from increments
    group by all
),

calls as (
    select
        date_trunc('hour', start_time + to_microseconds(coalesce(duration_us, 0))) as hour,
        service_name,
        session_id,
        request_model as model,
        input_tokens,
        output_tokens,
        reported_cost_usd
    from llm_calls_in(call_files)
),

booked as (
    select
        hour,
        service_name,
        session_id,
        model,
        grouping(session_id) = 1 as every_session,
        sum(input_tokens) as input,
        sum(output_tokens) as output,
        sum(reported_cost_usd) as cost
    from calls
    group by grouping sets ((hour, service_name, session_id, model), (hour, service_name, model))
),

compared as (
    select
        metered.*,
        coalesce(case metered.side when 'input' then input when 'output' then output else cost end, 0) as booked
    from metered
    left join booked
        on
            booked.hour = metered.hour
            and booked.service_name is not distinct from metered.service_name
            and booked.model is not distinct from metered.model
            and booked.every_session = (metered.session_id is null)
            and (booked.every_session or booked.session_id = metered.session_id)
)

select hour, metric, side, service_name, session_id, model, metered, booked, booked - metered as difference
from compared;
