-- What can be filtered by? One row a dimension and value that calls of the period have; '' is calls without one.
with calls as (
    select
        team_id,
        feature,
        coalesce(matched_model, response_model, request_model, '') as model,
        environment,
        cost_usd
    from llm_calls_in($files)
),
named as (
    select 'team' as dimension, coalesce(team_id, '') as value, cost_usd from calls
    union all
    select 'feature' as dimension, coalesce(feature, '') as value, cost_usd from calls
    union all
    select 'model' as dimension, model as value, cost_usd from calls
    union all
    select 'environment' as dimension, coalesce(environment, '') as value, cost_usd from calls
)
select
    dimension,
    value,
    count(*) as calls,
    sum(cost_usd) as cost_usd
from named
group by dimension, value
order by dimension, value;
