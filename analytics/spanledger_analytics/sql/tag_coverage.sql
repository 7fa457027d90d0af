-- How many calls of a period, and what cost, say what? One row each of what is asked for (`$by`, `$tags`) and each tag
-- that some of its calls say; NULL of those that say none. A call that says several is in several rows.
with calls as (
    select
        bucket,
        columns('^by_(.+)$') as '\1',
        cost_usd,
        [
            case when team_id <> '' then 'team' end,
            case when customer_id <> '' then 'customer' end,
            case when user_id <> '' then 'user' end,
            case when feature <> '' then 'feature' end,
            case when session_id <> '' then 'session' end
        ] as known,
        list_transform(
            list_filter(map_keys(coalesce(tags, map())), lambda key: tags[key] <> ''), lambda key: 'tag.' || key
        ) as others
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
),

told as (
    select *, list_filter(list_concat(known, others), lambda tag: tag is not null) as said
    from calls
),

one_each as (
    select * exclude (known, others, said), unnest(case when len(said) = 0 then [null::varchar] else said end) as tag
    from told
)

select * exclude (cost_usd), count(*) as calls, sum(cost_usd)::decimal(38, 12) as cost_usd
from one_each
group by all
order by all;
