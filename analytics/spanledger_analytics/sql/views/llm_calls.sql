-- Whether a call was refused before anything was sent: it cost nothing, and nobody answered it.
create or replace macro is_refusal(guard_action, cost_usd) as (
    coalesce(guard_action in ('block', 'defer') and cost_usd = 0, false)
);

-- Whether a span is an LLM call that is charged: leaf inference spans, no second sight of the same call, nothing that was
-- refused, and agents below which nothing has usage.
create or replace macro is_call(role, duplicate_of, cost_usd, unpriced_reason, guard_action) as (
    role in ('inference', 'agent')
    and duplicate_of is null
    and not is_refusal(guard_action, cost_usd)
    and (role = 'inference' or cost_usd is not null or unpriced_reason <> 'aggregate')
);

-- Whether a span only carries an outcome, which is no step of the work: it may be said tomorrow, of another trace.
create or replace macro is_outcome(role, name, events) as (
    role is not distinct from 'other'
    and starts_with(name, 'outcome ')
    and coalesce(contains(events, '"gen_ai.evaluation.result"'), false)
);

-- Whether its trace may still change a call: nobody has looked at the whole of it, and it has something above it, or
-- an emitter other than ours told of it.
create or replace macro may_change(ingested_at, parent_span_id, dialect) as (
    coalesce(ingested_at >= getvariable('settled_until'), true)
    and (parent_span_id is not null or dialect is distinct from 'spanledger')
);

-- Whether the cost of a call is that of tokens that nobody reported; what a provider states or an application declares
-- is no estimate.
create or replace macro is_estimate(usage_state, cost_source, cost_usd) as (
    coalesce(usage_state = 'estimated' and cost_source in ('list', 'contract') and cost_usd is not null, false)
);

-- Every LLM call that is charged; one row a call.
create or replace macro llm_calls_in(files) as table
select
    *,
    may_change(ingested_at, parent_span_id, dialect) as provisional,
    is_estimate(usage_state, cost_source, cost_usd) as estimated
from spans_in(files)
where is_call(role, duplicate_of, cost_usd, unpriced_reason, guard_action);

-- Those of them that a page's filters leave; null is no filter, '' is calls that don't say. `priced_as` names the
-- model as all pages do.
create or replace macro chosen_calls_in(
    files, wanted_team, wanted_feature, wanted_model, wanted_environment, wanted_tags
) as table
select
    *,
    coalesce(matched_model, response_model, request_model, '') as priced_as
from llm_calls_in(files)
where
    (wanted_team is null or coalesce(team_id, '') = wanted_team)
    and (wanted_feature is null or coalesce(feature, '') = wanted_feature)
    and (wanted_model is null or coalesce(matched_model, response_model, request_model, '') = wanted_model)
    and (wanted_environment is null or coalesce(environment, '') = wanted_environment)
    and (
        wanted_tags is null
        or len(
            list_filter(
                wanted_tags::struct(key varchar, wanted varchar)[],
                lambda tag: coalesce(tags[tag.key], '') <> tag.wanted
            )
        ) = 0
    );

-- Every call as it was booked.
create or replace macro booked_calls_in(files) as table
select *
from booked_in(files)
where is_call(role, duplicate_of, cost_usd, unpriced_reason, guard_action);
