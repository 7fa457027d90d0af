-- The calls of lines whose cache broke, from a day before on; one row a call and break. `breaks` has the columns of the
-- type; rates are those of before.
create or replace macro broken_calls_in(
    files, first_moment, end_moment, only_these, not_these, only_tags, not_tags, least_tokens, breaks
) as table
with broken as (
    select unnest(
        breaks::struct(
            number bigint, line_service varchar, line_feature varchar, line_agent varchar, line_model varchar,
            looked_from timestamptz, broken_from timestamptz, broken_to timestamptz,
            input_before bigint, read_before bigint,
            write_5m_before bigint, write_1h_before bigint, write_12h_before bigint
        )[],
        recursive := true
    )
)

select *
from asked_calls_in(
    files, first_moment, end_moment, null, null::varchar[], null::varchar[], only_these, not_these, only_tags, not_tags
)
inner join broken
    on
        nullif(service_name, '') is not distinct from line_service
        and nullif(feature, '') is not distinct from line_feature
        and nullif(agent_name, '') is not distinct from line_agent
        and nullif(priced_as, '') is not distinct from line_model
        and start_time >= looked_from
        and (broken_to is null or start_time < broken_to)
where input_tokens >= least_tokens and billing_basis is distinct from 'cached';
