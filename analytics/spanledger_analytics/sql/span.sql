-- What was recorded on one span of a trace? One row.
select * exclude (as_booked)
from spans_in($files)
where trace_id = $trace and span_id = $span
order by dt
limit 1;
