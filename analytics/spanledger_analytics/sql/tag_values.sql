-- Which tags do calls of a period carry? One row a key and value, of each key its 100 dearest values.
with tagged as (
    select
        unnest(map_entries(tags)) as tag,
        cost_usd
    from llm_calls_in($files)
)

select
    tag.key as key,
    tag.value as value,
    count(*) as calls,
    sum(cost_usd) as cost_usd
from tagged
where tag.value <> ''
group by tag.key, tag.value
qualify row_number() over (partition by tag.key order by sum(cost_usd) desc nulls last, count(*) desc, tag.value) <= 100
order by key, cost_usd desc nulls last, calls desc, value;
