-- The decisions that count: those whose place no other one took; by the variable `as_of`, of those made until then.
create or replace macro settled_in(files) as table
with said as (
    select *
    from rows_in(files)
    where getvariable('as_of') is null or settled_at <= getvariable('as_of')
)

select latest.*
from said as latest
anti join (select * from said where replaces is not null) as further
    on
        latest.dt = further.dt
        and latest.span_id = further.span_id
        and latest.trace_id = further.trace_id
        and latest.ingested_at = further.ingested_at
        and latest.settled_at = further.replaces;
