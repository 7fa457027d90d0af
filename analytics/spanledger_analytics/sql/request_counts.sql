-- How many requests have calls that are asked about? One row for each UTC day and each of what is asked for: traces, of
-- which each counts once for each of them a day.
select
    dt,
    columns('^by_(.+)$') as '\1',
    count(distinct trace_id) as requests
from asked_calls_in($files, $begin, $end, null, $by, $tags, $only, $but, $tags_only, $tags_but)
group by all
order by all;
