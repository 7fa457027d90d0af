-- The spans that controls had to do with, and what rules decided of each; one row a span. A refusal of which no
-- decision is told has one of the rule that the span names.
create or replace macro controlled_in(files) as table
with told as (
    select
        *,
        coalesce(matched_model, response_model, request_model) as priced_as,
        role = 'inference' and is_refusal(guard_action, cost_usd) as refused,
        attributes['spanledger.guard.decisions'] ->> '$' as decisions_text,
        attributes['spanledger.route.rule'] ->> '$' as route_rule,
        attributes['spanledger.route.arm'] ->> '$' as route_arm,
        attributes['spanledger.route.model'] ->> '$' as route_model
    from spans_in(files)
    where guard_policy is not null and duplicate_of is null
),

parsed as (
    select
        * exclude (decisions_text),
        case
            when json_valid(decisions_text)
                then json_transform(
                    decisions_text,
                    '[{
                        "rule": "VARCHAR",
                        "kind": "VARCHAR",
                        "scope": "VARCHAR",
                        "action": "VARCHAR",
                        "shadow": "BOOLEAN",
                        "unit": "VARCHAR",
                        "limit": "VARCHAR",
                        "spent": "VARCHAR",
                        "held": "VARCHAR",
                        "estimate": "VARCHAR",
                        "resets_at": "VARCHAR",
                        "sentence": "VARCHAR"
                    }]'
                )
        end as told_decisions
    from told
)

select
    * exclude (told_decisions),
    case
        when len(list_filter(told_decisions, lambda one: one.action is not null)) > 0
            then list_filter(told_decisions, lambda one: one.action is not null)
        when refused
            then [{
                rule: guard_policy,
                kind: null,
                scope: null,
                action: guard_action,
                shadow: false,
                unit: null,
                "limit": null,
                spent: null,
                held: null,
                estimate: null,
                resets_at: null,
                sentence: null
            }]
        else []
    end as decisions
from parsed;

-- What rules decided; one row a decision, at the time of its call.
create or replace macro guard_events_in(files) as table
with decided as (
    select
        *,
        unnest(decisions) as one
    from controlled_in(files)
)

select
    start_time as time,
    trace_id,
    span_id,
    service_name,
    environment,
    user_id,
    team_id,
    customer_id,
    feature,
    session_id,
    provider,
    priced_as as model,
    one.rule as rule,
    one.kind as kind,
    one.scope as scope,
    one.action as action,
    coalesce(one.shadow, false) as shadow,
    refused,
    one.unit as unit,
    try_cast(one.limit as decimal(38, 12)) as limit_amount,
    try_cast(one.spent as decimal(38, 12)) as spent_amount,
    try_cast(one.held as decimal(38, 12)) as held_amount,
    try_cast(one.estimate as decimal(38, 12)) as estimate_amount,
    try_cast(one.resets_at as timestamptz) as resets_at,
    one.sentence as sentence,
    dt,
    ingested_at
from decided;

-- The spans of `controlled_in` that a report asks about, told apart as `asked_calls_in` has calls. Which of them count
-- is for who asks to say: refused calls and steps are no charged calls.
create or replace macro asked_controlled_in(files, first_moment, end_moment, width, wanted_by, wanted_tags) as table
select
    *,
    time_bucket(width::interval, start_time) as bucket,
    case when list_contains(wanted_by, 'provider') then nullif(provider, '') end as by_provider,
    case when list_contains(wanted_by, 'model') then nullif(priced_as, '') end as by_model,
    case when list_contains(wanted_by, 'team') then nullif(team_id, '') end as by_team,
    case when list_contains(wanted_by, 'customer') then nullif(customer_id, '') end as by_customer,
    case when list_contains(wanted_by, 'user') then nullif(user_id, '') end as by_user,
    case when list_contains(wanted_by, 'feature') then nullif(feature, '') end as by_feature,
    case when list_contains(wanted_by, 'session') then nullif(session_id, '') end as by_session,
    case when list_contains(wanted_by, 'request_type') then nullif(request_type, '') end as by_request_type,
    case when list_contains(wanted_by, 'environment') then nullif(environment, '') end as by_environment,
    case when list_contains(wanted_by, 'service') then nullif(service_name, '') end as by_service,
    case when list_contains(wanted_by, 'agent') then nullif(agent_name, '') end as by_agent,
    list_transform(wanted_tags::varchar[], lambda key: nullif(tags[key], '')) as by_tag_values
from controlled_in(files)
where start_time >= first_moment and start_time < end_moment;
