-- Why have calls no price? One row a reason and model; what a plan pays for needs none.
select
    coalesce(unpriced_reason, 'unknown') as reason,
    priced_as as model,
    count(*) as calls
from chosen_calls_in($files, $team, $feature, $model, $environment, $wanted_tags)
where cost_usd is null and billing_basis is distinct from 'plan'
group by reason, model
order by calls desc, reason, model;
