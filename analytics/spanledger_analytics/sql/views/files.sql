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
