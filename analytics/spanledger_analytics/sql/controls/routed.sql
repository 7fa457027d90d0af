-- How did work that rules of a router put into an arm since a moment end? One row for each rule, and what was routed or wasn't:
-- pieces of work with an outcome that says success or failure, and those of them that succeeded. Work is a session, or else a
-- trace; its last outcome counts. What was on both sides of a rule is on neither.
with calls as (
    select
        route_rule as rule,
        nullif(session_id, '') as session,
        coalesce('session ' || session, 'trace ' || trace_id) as work,
        trace_id,
        route_arm = 'routed' as routed
    from controlled_in($files)
    where route_rule is not null and route_arm is not null and start_time >= $begin::timestamptz
),

sides as (
    select
        rule,
        work,
        bool_and(routed) as routed
    from calls
    group by rule, work
    having bool_and(routed) = bool_or(routed)
),

told as (
    select *
    from outcomes_in($outcomes)
    where score is not null or label is not null
),

told_of_work as (
    select works.work, told.*
    from told
    inner join (select distinct work, session from calls) as works on works.session = told.session_id
    union
    select works.work, told.*
    from told
    inner join (select distinct work, session, trace_id from calls) as works on works.trace_id = told.trace_id
    where told.session_id is null or works.session is null
),

ended as (
    select
        work,
        case when score is not null then score >= $at_least::decimal(18, 6) else lower(label) in ('success', 'pass') end as succeeded
    from told_of_work
    qualify row_number() over (partition by work order by occurred_at desc, outcome_id) = 1
)

select
    rule,
    routed,
    count(*) as outcomes,
    count(*) filter (where succeeded) as successes
from sides
inner join ended using (work)
group by all
order by all;
