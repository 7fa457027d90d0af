-- Every span that was collected; one row a span. `files` is the pruned list of live files, never a glob; nothing is
-- said elsewhere about any of their rows (else see spans_touched).
-- Matching columns by name opens every file first, so it is done only where the variable says that some lack columns.
create or replace macro booked_in(files) as table
select *
from read_parquet(
    files,
    union_by_name = getvariable('some_lack_columns'),
    hive_partitioning = true,
    hive_types = {'dt': date}
);

create or replace macro spans_in(files) as table
select *
from booked_in(files);
