-- What can be filtered by? One row a dimension and value that calls of the period have, by cells; '' is calls without one.
with cells as (
    select
        coalesce(team_id, '') as team,
        coalesce(feature, '') as feature,
        coalesce(model, '') as model,
        coalesce(environment, '') as environment,
        calls,
        cost_usd
    from cells_in($cells)
),

named as (
    unpivot cells
    on team, feature, model, environment
    into name dimension value value
)

select
    dimension,
    value,
    sum(calls)::bigint as calls,
    sum(cost_usd) as cost_usd
from named
group by dimension, value
having sum(calls) > 0
order by dimension, value;
