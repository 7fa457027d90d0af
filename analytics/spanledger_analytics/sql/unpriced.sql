-- Why have calls no price? One row a reason and model.
select
    coalesce(unpriced_reason, 'unknown') as reason,
    coalesce(matched_model, response_model, request_model, '') as model,
    count(*) as calls
from llm_calls_in($files)
where
    cost_usd is null
    and ($team is null or coalesce(team_id, '') = $team)
    and ($feature is null or coalesce(feature, '') = $feature)
    and ($model is null or coalesce(matched_model, response_model, request_model, '') = $model)
    and ($environment is null or coalesce(environment, '') = $environment)
group by reason, model
order by calls desc, reason, model;
