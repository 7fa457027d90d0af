-- Which requests cost at least $floor and twice the upper quartile of their feature? One row for each request and feature
-- since $since; its kind is the requests of the feature before that, of which there have to be $least.
with requests as (
    select
        by_feature as feature,
        trace_id,
        min(start_time) as started,
        min(user_id) as user,
        count(*) as calls,
        sum(cost_usd) as cost_usd
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    group by all
),

kinds as (
    select
        feature,
        count(*) as requests,
        quantile_disc(cost_usd, 0.25) as lower_usd,
        quantile_disc(cost_usd, 0.5) as median_usd,
        quantile_disc(cost_usd, 0.75) as upper_usd
    from requests
    where started < $since and cost_usd > 0
    group by feature
)

select requests.*, kinds.requests, kinds.lower_usd, kinds.median_usd, kinds.upper_usd
from requests
join kinds on kinds.feature is not distinct from requests.feature
where
    requests.started >= $since
    and requests.cost_usd >= $floor
    and requests.cost_usd >= 2 * kinds.upper_usd
    and kinds.requests >= $least
order by requests.cost_usd desc, requests.trace_id;
