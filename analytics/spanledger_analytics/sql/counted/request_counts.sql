-- How many requests have calls that are asked about? As `request_counts`, by cells; `$apart` names the count of requests
-- that is right for what they are told apart by.
with cells as (
    select * from cells_in($cells)
    union all by name
    select
        null::varchar as model,
        null::varchar as team_id,
        null::varchar as feature,
        null::varchar as environment,
        null::varchar as user_id,
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
    dt,
    null::varchar as provider,
    case when list_contains($by, 'model') then nullif(model, '') end as model,
    case when list_contains($by, 'team') then nullif(team_id, '') end as team,
    null::varchar as customer,
    case when list_contains($by, 'user') then nullif(user_id, '') end as user,
    case when list_contains($by, 'feature') then nullif(feature, '') end as feature,
    null::varchar as session,
    null::varchar as request_type,
    case when list_contains($by, 'environment') then nullif(environment, '') end as environment,
    null::varchar as service,
    null::varchar as agent,
    list_transform($tags::varchar[], lambda key: null::varchar) as tag_values,
    sum(
        case $apart
            when '' then requests
            when 'user' then requests_user
            when 'user_team' then requests_user_team
            when 'team' then requests_team
            when 'feature' then requests_feature
            when 'model' then requests_model
            when 'environment' then requests_environment
            when 'team_feature' then requests_team_feature
            when 'team_model' then requests_team_model
            when 'team_environment' then requests_team_environment
            when 'feature_model' then requests_feature_model
            when 'feature_environment' then requests_feature_environment
            when 'model_environment' then requests_model_environment
            when 'team_feature_model' then requests_team_feature_model
            when 'team_feature_environment' then requests_team_feature_environment
            when 'team_model_environment' then requests_team_model_environment
            when 'feature_model_environment' then requests_feature_model_environment
            when 'team_feature_model_environment' then requests_team_feature_model_environment
        end
    )::bigint as requests
from cells
where
    (($only).model is null or list_contains(($only).model, coalesce(model, '')))
    and (($only).team is null or list_contains(($only).team, coalesce(team_id, '')))
    and (($only).user is null or list_contains(($only).user, coalesce(user_id, '')))
    and (($only).feature is null or list_contains(($only).feature, coalesce(feature, '')))
    and (($only).environment is null or list_contains(($only).environment, coalesce(environment, '')))
group by all
order by all;
