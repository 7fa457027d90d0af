-- What did each hour of a day cost? One row a UTC hour that has calls.
select
    hour(start_time) as hour,
    count(distinct trace_id) as requests,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cost_usd) as cost_usd,
    count(*) filter (where cost_usd is null) as unpriced_calls,
    count(*) filter (where status = 'error') as errors
from llm_calls_in($files)
where
    dt = $day
    and ($team is null or coalesce(team_id, '') = $team)
    and ($feature is null or coalesce(feature, '') = $feature)
    and ($model is null or coalesce(matched_model, response_model, request_model, '') = $model)
    and ($environment is null or coalesce(environment, '') = $environment)
group by hour
order by hour;
