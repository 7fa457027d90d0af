-- Files of rollups: all of one make, so that they have the same columns.
create or replace macro cells_in(files) as table
select *
from read_parquet(files, hive_partitioning = true, hive_types = {'dt': date});

-- What rollups are counted from and how. `rollup` names one of the tables; of who and what it keeps apart only what that
-- table has, the rest is NULL. '' says as little as NULL does.
create or replace macro calls_of_rollup_in(files, rollup) as table
with calls as (
    select
        *,
        false as was_booked
    from llm_calls_in(files)
    where getvariable('as_of') is null or ingested_at <= getvariable('as_of')
    union all by name
    select
        dt,
        start_time,
        provider,
        matched_model,
        response_model,
        request_model,
        team_id,
        feature,
        environment,
        user_id,
        cost_usd as booked_usd,
        true as was_booked
    from booked_calls_in(files)
    where
        cost_usd is not null
        and (getvariable('as_of') is null or ingested_at <= getvariable('as_of'))
)

select
    * replace (
        case when rollup = 'hourly_models' then nullif(provider, '') end as provider,
        case when rollup <> 'hourly_features' then nullif(team_id, '') end as team_id,
        case when rollup in ('hourly_features', 'daily_cube') then nullif(feature, '') end as feature,
        case when rollup in ('hourly_models', 'daily_cube') then nullif(environment, '') end as environment,
        case when rollup = 'hourly_users' then nullif(user_id, '') end as user_id
    ),
    case
        when rollup <> 'hourly_users' then nullif(coalesce(matched_model, response_model, request_model), '')
    end as model,
    case when rollup <> 'daily_cube' then time_bucket(interval 15 minutes, start_time) end as quarter_hour
from calls
where getvariable('raw_days') is null or list_contains(getvariable('raw_days'), dt);

-- All that adds up but requests; one row a cell.
create or replace macro measures_in(files, rollup) as table
select
    dt,
    quarter_hour,
    provider,
    model,
    team_id,
    feature,
    environment,
    user_id,
    count(*) filter (where not was_booked) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(
        case
            when cache_read_tokens is not null or cache_read_audio_tokens is not null
                then coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0)
        end
    )::bigint as cache_read_tokens,
    sum(
        case
            when
                cache_write_5m_tokens is not null
                or cache_write_1h_tokens is not null
                or cache_write_12h_tokens is not null
                then
                    coalesce(cache_write_5m_tokens, 0)
                    + coalesce(cache_write_1h_tokens, 0)
                    + coalesce(cache_write_12h_tokens, 0)
        end
    )::bigint as cache_write_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_usd) as cost_usd,
    sum(cost_input) as cost_input,
    sum(cost_cache_read) as cost_cache_read,
    sum(cost_cache_write) as cost_cache_write,
    sum(cost_output) as cost_output,
    sum(cost_other) as cost_other,
    sum(booked_usd) as booked_usd,
    sum(equivalent_usd) as equivalent_usd,
    sum(avoided_usd) as avoided_usd,
    sum(retry_cost_usd) as retry_cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0)::decimal(38, 12) as estimated_usd,
    count(*) filter (
        where not was_booked and cost_usd is null and billing_basis is distinct from 'plan'
    ) as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls,
    count(*) filter (where status = 'error') as errors,
    sum(duration_us)::bigint as duration_us
from calls_of_rollup_in(files, rollup)
group by all
having calls > 0 or booked_usd is not null;

-- In which cells a trace has calls; one row a trace and cell. Traces and cells have numbers, and so has what tells cells
-- apart, because to group by texts again and again costs ten times as much. `mark` is the time of day of the trace's first
-- call in the cell, then the cell's number: the least of several marks is that of the first cell.
create or replace macro traces_of_rollup_in(files, rollup) as table
with seen as materialized (
    select
        dt,
        trace_id,
        quarter_hour,
        provider,
        model,
        team_id,
        feature,
        environment,
        user_id,
        epoch_us(min(start_time)) - epoch_us(dt::timestamp) as since_us
    from calls_of_rollup_in(files, rollup)
    where not was_booked
    group by dt, trace_id, quarter_hour, provider, model, team_id, feature, environment, user_id
),

cells as materialized (
    select
        *,
        row_number() over (
            order by dt, quarter_hour, provider, model, team_id, feature, environment, user_id
        ) as cell,
        hour(quarter_hour) as hour,
        dense_rank() over (order by model) as model_number,
        dense_rank() over (order by team_id) as team_number,
        dense_rank() over (order by feature) as feature_number,
        dense_rank() over (order by environment) as environment_number,
        dense_rank() over (order by user_id) as user_number
    from (select distinct dt, quarter_hour, provider, model, team_id, feature, environment, user_id from seen)
),

traces as (
    select
        row_number() over () as trace,
        list(seen.since_us * 67108864 + cells.cell) as marks
    from seen
    inner join cells
        on
            seen.dt = cells.dt
            and seen.quarter_hour is not distinct from cells.quarter_hour
            and seen.provider is not distinct from cells.provider
            and seen.model is not distinct from cells.model
            and seen.team_id is not distinct from cells.team_id
            and seen.feature is not distinct from cells.feature
            and seen.environment is not distinct from cells.environment
            and seen.user_id is not distinct from cells.user_id
    group by seen.dt, seen.trace_id
),

marks as (
    select
        trace,
        len(marks) = 1 as lone,
        unnest(marks) as mark
    from traces
)

select
    marks.trace,
    marks.lone,
    marks.mark,
    cells.*
from marks
inner join cells on cells.cell = marks.mark % 67108864;

-- Requests are counted apart for each question that rows may be added up for, because a trace may have calls in several
-- cells: requests_team is right in sums over rows of one team, and so on. Of the cells of a trace that are alike in
-- what a question tells apart, it counts in that of its first call.
create or replace macro requests_of_cube_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'daily_cube')
),

firsts as (
    select
        grouping(team_number, feature_number, model_number, environment_number) as apart,
        min(mark) % 67108864 as cell
    from traces
    where not lone
    group by trace, cube (team_number, feature_number, model_number, environment_number)
    union all
    select
        null,
        cell
    from traces
    where lone
),

counted as (
    select
        cell,
        count(*) filter (where coalesce(apart = 15, true)) as requests,
        count(*) filter (where coalesce(apart = 7, true)) as requests_team,
        count(*) filter (where coalesce(apart = 11, true)) as requests_feature,
        count(*) filter (where coalesce(apart = 13, true)) as requests_model,
        count(*) filter (where coalesce(apart = 14, true)) as requests_environment,
        count(*) filter (where coalesce(apart = 3, true)) as requests_team_feature,
        count(*) filter (where coalesce(apart = 5, true)) as requests_team_model,
        count(*) filter (where coalesce(apart = 6, true)) as requests_team_environment,
        count(*) filter (where coalesce(apart = 9, true)) as requests_feature_model,
        count(*) filter (where coalesce(apart = 10, true)) as requests_feature_environment,
        count(*) filter (where coalesce(apart = 12, true)) as requests_model_environment,
        count(*) filter (where coalesce(apart = 1, true)) as requests_team_feature_model,
        count(*) filter (where coalesce(apart = 2, true)) as requests_team_feature_environment,
        count(*) filter (where coalesce(apart = 4, true)) as requests_team_model_environment,
        count(*) filter (where coalesce(apart = 8, true)) as requests_feature_model_environment,
        count(*) filter (where coalesce(apart = 0, true)) as requests_team_feature_model_environment
    from firsts
    group by cell
)

select
    counted.* exclude (cell),
    cells.dt,
    cells.team_id,
    cells.feature,
    cells.model,
    cells.environment
from counted
inner join (select distinct cell, dt, team_id, feature, model, environment from traces) as cells on cells.cell = counted.cell;

create or replace macro requests_of_models_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'hourly_models')
),

firsts as (
    select
        grouping(hour, team_number, model_number, environment_number) as apart,
        min(mark) % 67108864 as cell
    from traces
    where not lone
    group by grouping sets (
        (trace),
        (trace, hour),
        (trace, hour, team_number),
        (trace, hour, model_number),
        (trace, hour, environment_number),
        (trace, hour, team_number, model_number),
        (trace, hour, team_number, environment_number),
        (trace, hour, model_number, environment_number),
        (trace, hour, team_number, model_number, environment_number)
    )
    union all
    select
        null,
        cell
    from traces
    where lone
),

counted as (
    select
        cell,
        count(*) filter (where coalesce(apart = 15, true)) as requests,
        count(*) filter (where coalesce(apart = 7, true)) as requests_hour,
        count(*) filter (where coalesce(apart = 3, true)) as requests_hour_team,
        count(*) filter (where coalesce(apart = 5, true)) as requests_hour_model,
        count(*) filter (where coalesce(apart = 6, true)) as requests_hour_environment,
        count(*) filter (where coalesce(apart = 1, true)) as requests_hour_team_model,
        count(*) filter (where coalesce(apart = 2, true)) as requests_hour_team_environment,
        count(*) filter (where coalesce(apart = 4, true)) as requests_hour_model_environment,
        count(*) filter (where coalesce(apart = 0, true)) as requests_hour_team_model_environment
    from firsts
    group by cell
)

select
    counted.* exclude (cell),
    cells.dt,
    cells.quarter_hour,
    cells.provider,
    cells.model,
    cells.team_id,
    cells.environment
from counted
inner join (select distinct cell, dt, quarter_hour, provider, model, team_id, environment from traces) as cells on cells.cell = counted.cell;

create or replace macro requests_of_users_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'hourly_users')
),

firsts as (
    select
        grouping(hour, user_number, team_number) as apart,
        min(mark) % 67108864 as cell
    from traces
    where not lone
    group by grouping sets (
        (trace),
        (trace, user_number),
        (trace, user_number, team_number),
        (trace, hour, user_number),
        (trace, hour, user_number, team_number)
    )
    union all
    select
        null,
        cell
    from traces
    where lone
),

counted as (
    select
        cell,
        count(*) filter (where coalesce(apart = 7, true)) as requests,
        count(*) filter (where coalesce(apart = 5, true)) as requests_user,
        count(*) filter (where coalesce(apart = 4, true)) as requests_user_team,
        count(*) filter (where coalesce(apart = 1, true)) as requests_hour_user,
        count(*) filter (where coalesce(apart = 0, true)) as requests_hour_user_team
    from firsts
    group by cell
)

select
    counted.* exclude (cell),
    cells.dt,
    cells.quarter_hour,
    cells.user_id,
    cells.team_id
from counted
inner join (select distinct cell, dt, quarter_hour, user_id, team_id from traces) as cells on cells.cell = counted.cell;

create or replace macro requests_of_features_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'hourly_features')
),

firsts as (
    select min(mark) % 67108864 as cell
    from traces
    group by trace
),

counted as (
    select
        cell,
        count(*) as requests
    from firsts
    group by cell
)

select
    counted.requests,
    cells.dt,
    cells.quarter_hour,
    cells.feature,
    cells.model
from counted
inner join (select distinct cell, dt, quarter_hour, feature, model from traces) as cells on cells.cell = counted.cell;

-- The rollups as they are counted; one row a cell of a day.
create or replace macro hourly_models_in(files) as table
select
    cells.* exclude (feature, user_id),
    coalesce(columns('^requests'), 0)::bigint as "\0"
from measures_in(files, 'hourly_models') as cells
left join requests_of_models_in(files) as told
    on
        cells.dt = told.dt
        and cells.quarter_hour = told.quarter_hour
        and cells.provider is not distinct from told.provider
        and cells.model is not distinct from told.model
        and cells.team_id is not distinct from told.team_id
        and cells.environment is not distinct from told.environment;

create or replace macro hourly_features_in(files) as table
select
    cells.* exclude (provider, team_id, environment, user_id),
    coalesce(columns('^requests'), 0)::bigint as "\0"
from measures_in(files, 'hourly_features') as cells
left join requests_of_features_in(files) as told
    on
        cells.dt = told.dt
        and cells.quarter_hour = told.quarter_hour
        and cells.feature is not distinct from told.feature
        and cells.model is not distinct from told.model;

create or replace macro hourly_users_in(files) as table
select
    cells.* exclude (provider, model, feature, environment),
    coalesce(columns('^requests'), 0)::bigint as "\0"
from measures_in(files, 'hourly_users') as cells
left join requests_of_users_in(files) as told
    on
        cells.dt = told.dt
        and cells.quarter_hour = told.quarter_hour
        and cells.user_id is not distinct from told.user_id
        and cells.team_id is not distinct from told.team_id;

create or replace macro daily_cube_in(files) as table
select
    cells.* exclude (quarter_hour, provider, user_id),
    coalesce(columns('^requests'), 0)::bigint as "\0"
from measures_in(files, 'daily_cube') as cells
left join requests_of_cube_in(files) as told
    on
        cells.dt = told.dt
        and cells.team_id is not distinct from told.team_id
        and cells.feature is not distinct from told.feature
        and cells.model is not distinct from told.model
        and cells.environment is not distinct from told.environment;
