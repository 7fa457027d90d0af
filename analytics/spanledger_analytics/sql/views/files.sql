-- Rows of spans as they stand in their files: the pruned list of live ones, never a glob.
-- Matching columns by name opens every file first, so it is done only where the variable says that some lack columns.
create or replace macro files_in(files) as table
select *
from read_parquet(
    files,
    union_by_name = getvariable('some_lack_columns'),
    hive_partitioning = true,
    hive_types = {'dt': date}
);

-- What a column was booked with, on days that were written anew with what was settled.
create or replace macro booked_text(as_booked, name, now) as
case when map_contains(as_booked, name) then as_booked[name] else now end;

create or replace macro booked_usd(as_booked, name, now) as
case when map_contains(as_booked, name) then as_booked[name]::decimal(18, 12) else now end;

-- The same rows as they were booked.
create or replace macro unfolded_in(files) as table
select
    * replace (
        booked_text(as_booked, 'duplicate_of', duplicate_of) as duplicate_of,
        booked_text(as_booked, 'user_id', user_id) as user_id,
        booked_text(as_booked, 'team_id', team_id) as team_id,
        booked_text(as_booked, 'customer_id', customer_id) as customer_id,
        booked_text(as_booked, 'feature', feature) as feature,
        booked_text(as_booked, 'session_id', session_id) as session_id,
        booked_usd(as_booked, 'cost_usd', cost_usd) as cost_usd,
        booked_usd(as_booked, 'cost_input', cost_input) as cost_input,
        booked_usd(as_booked, 'cost_cache_read', cost_cache_read) as cost_cache_read,
        booked_usd(as_booked, 'cost_cache_write', cost_cache_write) as cost_cache_write,
        booked_usd(as_booked, 'cost_output', cost_output) as cost_output,
        booked_usd(as_booked, 'cost_other', cost_other) as cost_other,
        booked_usd(as_booked, 'equivalent_usd', equivalent_usd) as equivalent_usd,
        booked_text(as_booked, 'unpriced_reason', unpriced_reason) as unpriced_reason,
        booked_text(as_booked, 'cost_source', cost_source) as cost_source,
        booked_text(as_booked, 'price_id', price_id) as price_id,
        booked_text(as_booked, 'matched_model', matched_model) as matched_model,
        booked_text(as_booked, 'billing_basis', billing_basis) as billing_basis
    )
from files_in(files);
