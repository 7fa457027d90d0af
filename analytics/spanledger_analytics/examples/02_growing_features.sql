-- Which features grew since last week?
select
    coalesce(feature, '(none)') as feature,
    sum(cost_usd) filter (where dt > today() - 7) as usd,
    sum(cost_usd) filter (where dt <= today() - 7) as usd_before,
    coalesce(usd, 0) - coalesce(usd_before, 0) as grown_by_usd
from llm_calls
where dt > today() - 14
group by all
order by grown_by_usd desc;
