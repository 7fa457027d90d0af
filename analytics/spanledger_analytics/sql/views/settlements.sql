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

-- Changes of money that hold: a repricing says them before it decides, so what it did not come to decide is left out.
create or replace macro corrections_in(correction_files, settlement_files) as table
select said.*
from rows_in(correction_files) as said
where
    (getvariable('as_of') is null or priced_at <= getvariable('as_of'))
    and (
        reason <> 'repriced'
        or exists (
            select 1
            from rows_in(settlement_files) as decided
            where
                decided.dt = said.dt
                and decided.span_id = said.span_id
                and decided.trace_id = said.trace_id
                and decided.ingested_at = said.ingested_at
                and decided.settled_at = said.priced_at
        )
    );
