-- What customers paid; one row a line of a file. Of each source the import that came last counts, by the variable
-- `as_of` the last one until then.
create or replace macro revenue_in(files) as table
select *
from rows_in(files)
where getvariable('as_of') is null or imported_at <= getvariable('as_of')
qualify imported_at = max(imported_at) over (partition by source);
