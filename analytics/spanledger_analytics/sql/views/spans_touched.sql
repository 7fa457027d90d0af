-- Every span that was collected; one row a span, the fullest copy of it. `files` is the pruned list of live files about
-- whose rows nothing is said elsewhere; those with superseded or settled rows are in a variable.
create or replace macro touched_in(files) as table
select touched.*
from unfolded_in(files) as touched
anti join superseded_in(getvariable('superseded_files')) as older
    on
        touched.span_id = older.span_id
        and touched.trace_id = older.trace_id
        and touched.ingested_at = older.ingested_at;

-- As they were booked, whatever whole traces say.
create or replace macro booked_in(files) as table
select *
from unfolded_in(files)
union all
select *
from touched_in(getvariable('touched_files'));

-- As settled: a decision says all columns that it may change, and counts for the version of a row that it was made of.
create or replace macro spans_in(files) as table
select *
from files_in(files)
union all
select
    touched.* replace (
        case when decided.settled_at is null then touched.duplicate_of else decided.duplicate_of end as duplicate_of,
        case when decided.settled_at is null then touched.user_id else decided.user_id end as user_id,
        case when decided.settled_at is null then touched.team_id else decided.team_id end as team_id,
        case when decided.settled_at is null then touched.customer_id else decided.customer_id end as customer_id,
        case when decided.settled_at is null then touched.feature else decided.feature end as feature,
        case when decided.settled_at is null then touched.session_id else decided.session_id end as session_id,
        case when decided.settled_at is null then touched.cost_usd else decided.cost_usd end as cost_usd,
        case when decided.settled_at is null then touched.cost_input else decided.cost_input end as cost_input,
        case when decided.settled_at is null then touched.cost_cache_read else decided.cost_cache_read end as cost_cache_read,
        case when decided.settled_at is null then touched.cost_cache_write else decided.cost_cache_write end as cost_cache_write,
        case when decided.settled_at is null then touched.cost_output else decided.cost_output end as cost_output,
        case when decided.settled_at is null then touched.cost_other else decided.cost_other end as cost_other,
        case when decided.settled_at is null then touched.equivalent_usd else decided.equivalent_usd end as equivalent_usd,
        case when decided.settled_at is null then touched.unpriced_reason else decided.unpriced_reason end as unpriced_reason,
        case when decided.settled_at is null then touched.cost_source else decided.cost_source end as cost_source,
        case when decided.settled_at is null then touched.price_id else decided.price_id end as price_id,
        case when decided.settled_at is null then touched.matched_model else decided.matched_model end as matched_model,
        case when decided.settled_at is null then touched.billing_basis else decided.billing_basis end as billing_basis
    )
from touched_in(getvariable('touched_files')) as touched
left join settled_in(getvariable('deciding_files')) as decided
    on
        touched.dt = decided.dt
        and touched.span_id = decided.span_id
        and touched.trace_id = decided.trace_id
        and touched.ingested_at = decided.ingested_at;
