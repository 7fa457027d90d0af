-- Every span that was collected; one row a span. `files` is the pruned list of live files, never a glob.
create or replace macro spans_in(files) as table
select *
from read_parquet(files, union_by_name = true, hive_partitioning = true, hive_types = {'dt': date});
