-- The cells of a rollup that a report asks about, as `asked_calls_in` has calls: one row a cell that has any, whichever
-- rollup it is. What that doesn't tell apart is NULL, so it must not be asked for.
create or replace macro asked_cells_in(
    files, first_moment, end_moment, width, wanted_by, wanted_tags, only_these, not_these
) as table
with cells as (
    select * from cells_in(files)
    union all by name
    select
        null::timestamptz as quarter_hour,
        null::varchar as provider,
        null::varchar as model,
        null::varchar as team_id,
        null::varchar as user_id,
        null::varchar as feature,
        null::varchar as environment,
        null::bigint as requests_user,
        null::bigint as requests_user_team,
        null::bigint as requests_team,
        null::bigint as requests_feature,
        null::bigint as requests_model,
        null::bigint as requests_environment,
        null::bigint as requests_team_feature,
        null::bigint as requests_team_model,
        null::bigint as requests_team_environment,
        null::bigint as requests_feature_model,
        null::bigint as requests_feature_environment,
        null::bigint as requests_model_environment,
        null::bigint as requests_team_feature_model,
        null::bigint as requests_team_feature_environment,
        null::bigint as requests_team_model_environment,
        null::bigint as requests_feature_model_environment,
        null::bigint as requests_team_feature_model_environment
    where false
)

select
    *,
    time_bucket(width::interval, coalesce(quarter_hour, dt::timestamptz)) as bucket,
    case when list_contains(wanted_by, 'provider') then nullif(provider, '') end as by_provider,
    case when list_contains(wanted_by, 'model') then nullif(model, '') end as by_model,
    case when list_contains(wanted_by, 'team') then nullif(team_id, '') end as by_team,
    null::varchar as by_customer,
    case when list_contains(wanted_by, 'user') then nullif(user_id, '') end as by_user,
    case when list_contains(wanted_by, 'feature') then nullif(feature, '') end as by_feature,
    null::varchar as by_session,
    null::varchar as by_request_type,
    case when list_contains(wanted_by, 'environment') then nullif(environment, '') end as by_environment,
    null::varchar as by_service,
    null::varchar as by_agent,
    list_transform(wanted_tags::varchar[], lambda key: null::varchar) as by_tag_values
from cells
where
    calls > 0
    and coalesce(quarter_hour, dt::timestamptz) >= first_moment
    and coalesce(quarter_hour, dt::timestamptz) < end_moment
    and ((only_these).provider is null or list_contains((only_these).provider, coalesce(provider, '')))
    and ((not_these).provider is null or not list_contains((not_these).provider, coalesce(provider, '')))
    and ((only_these).model is null or list_contains((only_these).model, coalesce(model, '')))
    and ((not_these).model is null or not list_contains((not_these).model, coalesce(model, '')))
    and ((only_these).team is null or list_contains((only_these).team, coalesce(team_id, '')))
    and ((not_these).team is null or not list_contains((not_these).team, coalesce(team_id, '')))
    and ((only_these).user is null or list_contains((only_these).user, coalesce(user_id, '')))
    and ((not_these).user is null or not list_contains((not_these).user, coalesce(user_id, '')))
    and ((only_these).feature is null or list_contains((only_these).feature, coalesce(feature, '')))
    and ((not_these).feature is null or not list_contains((not_these).feature, coalesce(feature, '')))
    and ((only_these).environment is null or list_contains((only_these).environment, coalesce(environment, '')))
    and ((not_these).environment is null or not list_contains((not_these).environment, coalesce(environment, '')));
