-- The calls that a report asks about, one row a call: those between two moments that fulfil its conditions (for each
-- dimension the values wanted or not, null: any, '': calls that don't say). `bucket` and `by_` columns are what its rows
-- are told apart by; NULL where it doesn't ask for one. `priced_as` names the model as all pages do.
create or replace macro asked_calls_in(
    files, first_moment, end_moment, width, wanted_by, wanted_tags, only_these, not_these, only_tags, not_tags
) as table
with calls as (
    select
        *,
        coalesce(matched_model, response_model, request_model) as priced_as
    from llm_calls_in(files)
    where start_time >= first_moment and start_time < end_moment
)

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
from calls
where
    ((only_these).provider is null or list_contains((only_these).provider, coalesce(provider, '')))
    and ((not_these).provider is null or not list_contains((not_these).provider, coalesce(provider, '')))
    and ((only_these).model is null or list_contains((only_these).model, coalesce(priced_as, '')))
    and ((not_these).model is null or not list_contains((not_these).model, coalesce(priced_as, '')))
    and ((only_these).team is null or list_contains((only_these).team, coalesce(team_id, '')))
    and ((not_these).team is null or not list_contains((not_these).team, coalesce(team_id, '')))
    and ((only_these).customer is null or list_contains((only_these).customer, coalesce(customer_id, '')))
    and ((not_these).customer is null or not list_contains((not_these).customer, coalesce(customer_id, '')))
    and ((only_these).user is null or list_contains((only_these).user, coalesce(user_id, '')))
    and ((not_these).user is null or not list_contains((not_these).user, coalesce(user_id, '')))
    and ((only_these).feature is null or list_contains((only_these).feature, coalesce(feature, '')))
    and ((not_these).feature is null or not list_contains((not_these).feature, coalesce(feature, '')))
    and ((only_these).session is null or list_contains((only_these).session, coalesce(session_id, '')))
    and ((not_these).session is null or not list_contains((not_these).session, coalesce(session_id, '')))
    and ((only_these).request_type is null or list_contains((only_these).request_type, coalesce(request_type, '')))
    and ((not_these).request_type is null or not list_contains((not_these).request_type, coalesce(request_type, '')))
    and ((only_these).environment is null or list_contains((only_these).environment, coalesce(environment, '')))
    and ((not_these).environment is null or not list_contains((not_these).environment, coalesce(environment, '')))
    and ((only_these).service is null or list_contains((only_these).service, coalesce(service_name, '')))
    and ((not_these).service is null or not list_contains((not_these).service, coalesce(service_name, '')))
    and ((only_these).agent is null or list_contains((only_these).agent, coalesce(agent_name, '')))
    and ((not_these).agent is null or not list_contains((not_these).agent, coalesce(agent_name, '')))
    and len(
        list_filter(
            only_tags::struct(key varchar, wanted varchar[])[],
            lambda tag: not list_contains(tag.wanted, coalesce(tags[tag.key], ''))
        )
    ) = 0
    and len(
        list_filter(
            not_tags::struct(key varchar, wanted varchar[])[],
            lambda tag: list_contains(tag.wanted, coalesce(tags[tag.key], ''))
        )
    ) = 0;
