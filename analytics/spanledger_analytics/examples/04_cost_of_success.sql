-- What does a success cost?
select
    coalesce(feature, '(none)') as feature,
    outcome,
    count(*) as runs,
    count(*) filter (where outcome_label = 'success') as successes,
    sum(cost_usd) as usd,
    (sum(cost_usd) / nullif(successes, 0))::decimal(18, 6) as usd_a_success
from traces
where outcome is not null
group by all
order by usd desc nulls last;
