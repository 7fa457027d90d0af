-- The decisions that count: those whose place no other one took.
create or replace macro settled_in(files) as table
select latest.*
from rows_in(files) as latest
anti join (select * from rows_in(files) where replaces is not null) as further
    on
        latest.dt = further.dt
        and latest.span_id = further.span_id
        and latest.trace_id = further.trace_id
        and latest.ingested_at = further.ingested_at
        and latest.settled_at = further.replaces;
