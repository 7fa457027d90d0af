-- How did the work of one trace end? One row an outcome that was said of it or of one of its sessions, the latest first.
select
    name,
    label,
    score,
    value_usd,
    occurred_at,
    source,
    trace_id is not distinct from $trace as of_trace
from outcomes_in($outcomes)
where trace_id = $trace or list_contains($sessions::varchar[], session_id)
order by of_trace desc, occurred_at desc, outcome_id;
