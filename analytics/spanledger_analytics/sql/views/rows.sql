-- The rows of a table beside spans. `files` begins with the empty one that names today's columns.
create or replace macro rows_in(files) as table
select *
from read_parquet(files, union_by_name = true, hive_partitioning = true, hive_types = {'dt': date});
