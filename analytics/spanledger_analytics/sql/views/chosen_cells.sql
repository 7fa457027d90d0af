-- Cells of rollups that a page's filters leave, as chosen_calls_in does with calls. `told` is how many requests a row adds
-- to a sum over all rows that the filters leave (with `by_model`: over those of each model).
create or replace macro chosen_days_in(
    cells, wanted_team, wanted_feature, wanted_model, wanted_environment, by_model
) as table
select
    *,
    coalesce(model, '') as priced_as,
    case
        (wanted_team is not null)::int * 8
        + (wanted_feature is not null)::int * 4
        + (by_model or wanted_model is not null)::int * 2
        + (wanted_environment is not null)::int
        when 0 then requests
        when 1 then requests_environment
        when 2 then requests_model
        when 3 then requests_model_environment
        when 4 then requests_feature
        when 5 then requests_feature_environment
        when 6 then requests_feature_model
        when 7 then requests_feature_model_environment
        when 8 then requests_team
        when 9 then requests_team_environment
        when 10 then requests_team_model
        when 11 then requests_team_model_environment
        when 12 then requests_team_feature
        when 13 then requests_team_feature_environment
        when 14 then requests_team_feature_model
        else requests_team_feature_model_environment
    end as told
from cells_in(cells)
where
    (wanted_team is null or coalesce(team_id, '') = wanted_team)
    and (wanted_feature is null or coalesce(feature, '') = wanted_feature)
    and (wanted_model is null or coalesce(model, '') = wanted_model)
    and (wanted_environment is null or coalesce(environment, '') = wanted_environment);

-- The same by hour.
create or replace macro chosen_hours_in(cells, wanted_team, wanted_model, wanted_environment, by_model) as table
select
    *,
    hour(quarter_hour) as hour,
    coalesce(model, '') as priced_as,
    case
        (wanted_team is not null)::int * 4
        + (by_model or wanted_model is not null)::int * 2
        + (wanted_environment is not null)::int
        when 0 then requests_hour
        when 1 then requests_hour_environment
        when 2 then requests_hour_model
        when 3 then requests_hour_model_environment
        when 4 then requests_hour_team
        when 5 then requests_hour_team_environment
        when 6 then requests_hour_team_model
        else requests_hour_team_model_environment
    end as told
from cells_in(cells)
where
    (wanted_team is null or coalesce(team_id, '') = wanted_team)
    and (wanted_model is null or coalesce(model, '') = wanted_model)
    and (wanted_environment is null or coalesce(environment, '') = wanted_environment);

-- The same by user, of an hour or of the day.
create or replace macro chosen_users_in(cells, wanted_hour, wanted_team) as table
select
    *,
    case (wanted_hour is not null)::int * 2 + (wanted_team is not null)::int
        when 0 then requests_user
        when 1 then requests_user_team
        when 2 then requests_hour_user
        else requests_hour_user_team
    end as told
from cells_in(cells)
where
    (wanted_hour is null or hour(quarter_hour) = wanted_hour)
    and (wanted_team is null or coalesce(team_id, '') = wanted_team);
