-- What did calls spend in each window of a budget? One row a window and what its scopes are told by (`$keys`, `$tags`, and
-- the session where `$by_session`). `nano_usd` is rounded up for each call, as accounts have it.
-- `model` is what was asked for; of a batch's result, which doesn't say so, what answered, by its name in the price book.
with windows as (
    select unnest($begins::timestamptz[]) as window_begin
),
calls as (
    select *
    from llm_calls_in($files)
    where
        start_time >= $begin::timestamptz
        and start_time < $end::timestamptz
)
select
    windows.window_begin,
    case when list_contains($keys::varchar[], 'user_id') then calls.user_id end as user_id,
    case when list_contains($keys::varchar[], 'team_id') then calls.team_id end as team_id,
    case when list_contains($keys::varchar[], 'customer_id') then calls.customer_id end as customer_id,
    case when list_contains($keys::varchar[], 'feature') then calls.feature end as feature,
    case when list_contains($keys::varchar[], 'session_id') then calls.session_id end as session_id,
    case when list_contains($keys::varchar[], 'request_type') then calls.request_type end as request_type,
    case when list_contains($keys::varchar[], 'environment') then calls.environment end as environment,
    case when list_contains($keys::varchar[], 'provider') then calls.provider end as provider,
    case
        when list_contains($keys::varchar[], 'model') then coalesce(
            calls.routed_from,
            calls.request_model,
            case when calls.is_batch then coalesce(calls.matched_model, calls.response_model) end
        )
    end as model,
    case when list_contains($keys::varchar[], 'finish_reason') then calls.finish_reason end as finish_reason,
    list_transform($tags::varchar[], lambda key: calls.tags[key]) as own,
    case when $by_session then coalesce(calls.session_id, calls.trace_id) end as run,
    count(*) as calls,
    count(*) filter (where calls.cost_usd is null) as unpriced_calls,
    coalesce(sum(calls.cost_usd), 0)::decimal(38, 12) as cost_usd,
    coalesce(sum(ceil(calls.cost_usd::decimal(28, 12) * 1000000000::decimal(10, 0))), 0)::decimal(38, 0) as nano_usd,
    coalesce(sum(coalesce(calls.input_tokens, 0) + coalesce(calls.output_tokens, 0)), 0)::bigint as tokens
from calls
asof join windows on calls.start_time >= windows.window_begin
group by all
order by all;
