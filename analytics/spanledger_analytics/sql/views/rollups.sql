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

-- In which cells a trace has calls, and since when; one row a trace and cell. `lone` says that it has calls in no other.
create or replace macro traces_of_rollup_in(files, rollup) as table
select
    dt,
    trace_id,
    time_bucket(interval 1 hour, quarter_hour) as hour,
    {
        'since': min(start_time),
        'quarter_hour': quarter_hour,
        'provider': provider,
        'model': model,
        'team_id': team_id,
        'feature': feature,
        'environment': environment,
        'user_id': user_id
    } as cell,
    count(*) over (partition by dt, trace_id) = 1 as lone
from calls_of_rollup_in(files, rollup)
where not was_booked
group by dt, trace_id, quarter_hour, provider, model, team_id, feature, environment, user_id;

-- Requests are counted apart for each question that rows may be added up for, because a trace may have calls in several
-- cells: requests_team is right in sums over rows of one team, and so on. Of the cells of a trace that are alike in
-- what a question tells apart, it counts in that of its first call.
create or replace macro requests_of_cube_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'daily_cube')
),

firsts as (
    select
        dt,
        grouping(cell.team_id, cell.feature, cell.model, cell.environment) as apart,
        min(cell) as cell
    from traces
    where not lone
    group by dt, trace_id, cube (cell.team_id, cell.feature, cell.model, cell.environment)
    union all
    select
        dt,
        null,
        cell
    from traces
    where lone
)

select
    dt,
    cell.team_id as team_id,
    cell.feature as feature,
    cell.model as model,
    cell.environment as environment,
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
group by dt, cell.team_id, cell.feature, cell.model, cell.environment;

create or replace macro requests_of_models_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'hourly_models')
),

firsts as (
    select
        dt,
        grouping(hour, cell.team_id, cell.model, cell.environment) as apart,
        min(cell) as cell
    from traces
    where not lone
    group by grouping sets (
        (dt, trace_id),
        (dt, trace_id, hour),
        (dt, trace_id, hour, cell.team_id),
        (dt, trace_id, hour, cell.model),
        (dt, trace_id, hour, cell.environment),
        (dt, trace_id, hour, cell.team_id, cell.model),
        (dt, trace_id, hour, cell.team_id, cell.environment),
        (dt, trace_id, hour, cell.model, cell.environment),
        (dt, trace_id, hour, cell.team_id, cell.model, cell.environment)
    )
    union all
    select
        dt,
        null,
        cell
    from traces
    where lone
)

select
    dt,
    cell.quarter_hour as quarter_hour,
    cell.provider as provider,
    cell.model as model,
    cell.team_id as team_id,
    cell.environment as environment,
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
group by dt, cell.quarter_hour, cell.provider, cell.model, cell.team_id, cell.environment;

create or replace macro requests_of_users_in(files) as table
with traces as materialized (
    select * from traces_of_rollup_in(files, 'hourly_users')
),

firsts as (
    select
        dt,
        grouping(hour, cell.user_id, cell.team_id) as apart,
        min(cell) as cell
    from traces
    where not lone
    group by grouping sets (
        (dt, trace_id),
        (dt, trace_id, cell.user_id),
        (dt, trace_id, cell.user_id, cell.team_id),
        (dt, trace_id, hour, cell.user_id),
        (dt, trace_id, hour, cell.user_id, cell.team_id)
    )
    union all
    select
        dt,
        null,
        cell
    from traces
    where lone
)

select
    dt,
    cell.quarter_hour as quarter_hour,
    cell.user_id as user_id,
    cell.team_id as team_id,
    count(*) filter (where coalesce(apart = 7, true)) as requests,
    count(*) filter (where coalesce(apart = 5, true)) as requests_user,
    count(*) filter (where coalesce(apart = 4, true)) as requests_user_team,
    count(*) filter (where coalesce(apart = 1, true)) as requests_hour_user,
    count(*) filter (where coalesce(apart = 0, true)) as requests_hour_user_team
from firsts
group by dt, cell.quarter_hour, cell.user_id, cell.team_id;

create or replace macro requests_of_features_in(files) as table
with firsts as (
    select
        dt,
        min(cell) as cell
    from traces_of_rollup_in(files, 'hourly_features')
    group by dt, trace_id
)

select
    dt,
    cell.quarter_hour as quarter_hour,
    cell.feature as feature,
    cell.model as model,
    count(*) as requests
from firsts
group by dt, cell.quarter_hour, cell.feature, cell.model;

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
