-- How many requests have calls that are asked about? As `request_counts`, by cells; `$apart` names the count of requests
-- that is right for what they are told apart by.
select
    dt,
    columns('^by_(.+)$') as '\1',
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
from asked_cells_in($cells, $begin, $end, null, $by, $tags, $only, $but)
group by all
order by all;
