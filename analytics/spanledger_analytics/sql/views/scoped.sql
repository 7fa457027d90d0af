-- What somebody sees who may see the rows of some teams (the variable `teams`): macros that stand before those of the
-- same names over all rows, which are in the schema `all_rows`. Whatever other macros and queries ask is asked of these.

-- The spans of the teams, by what they are settled as. What they were booked as may name another team, so it is left out.
create or replace macro spans_in(files) as table
select * replace (map([]::varchar[], []::varchar[]) as as_booked)
from all_rows.spans_in(files)
where list_contains(getvariable('teams'), team_id);

create or replace macro booked_in(files) as table
select *
from all_rows.booked_in(files)
where false;

-- Cells of rollups that tell teams apart; of those of one team, its counts of requests have the names of everybody's.
-- What other counts there are isn't there: requests of several teams don't add up.
create or replace macro cells_in(files) as table
select
    columns(lambda name: name not like 'requests%'),
    columns('^(requests(?:_hour)?(?:_user)?)_team(.*)$') as '\1\2',
    columns('^requests.*_team.*$')
from all_rows.cells_in(files)
where list_contains(getvariable('teams'), team_id);

-- Outcomes that name one of the teams; of those that name none, what is said of a span of theirs, and of traces and
-- sessions without a call of anybody else in the days that are asked about.
create or replace macro outcomes_in(files) as table
with spans as (
    select
        trace_id,
        span_id,
        nullif(session_id, '') as session_id,
        coalesce(list_contains(getvariable('teams'), team_id), false) as inside,
        team_id is not null and not inside as outside
    from all_rows.spans_in(getvariable('live_files'))
),

traces as (
    select trace_id
    from spans
    group by trace_id
    having bool_or(inside) and not bool_or(outside)
),

sessions as (
    select session_id
    from spans
    where session_id is not null
    group by session_id
    having bool_or(inside) and not bool_or(outside)
)

select said.*
from all_rows.outcomes_in(files) as said
where
    list_contains(getvariable('teams'), said.team_id)
    or (
        said.team_id is null
        and (
            exists (select 1 from spans where inside and trace_id = said.trace_id and span_id = said.span_id)
            or said.trace_id in (select trace_id from traces)
            or (said.trace_id is null and said.session_id in (select session_id from sessions))
        )
    );

create or replace macro revenue_in(files) as table
select *
from all_rows.revenue_in(files)
where list_contains(getvariable('teams'), team_id);

-- Readings of metrics name no team.
create or replace macro readings_in(files) as table
select *
from all_rows.readings_in(files)
where false;

create or replace macro corrections_in(correction_files, settlement_files) as table
select said.*
from all_rows.corrections_in(correction_files, settlement_files) as said
semi join spans_in(getvariable('live_files')) as spans
    on said.dt = spans.dt and said.span_id = spans.span_id and said.trace_id = spans.trace_id;
