-- Every span that was collected; one row a span, the fullest copy of it. `files` is the pruned list of live files all
-- of whose rows count; those with superseded rows are in a variable.
create or replace macro spans_in(files) as table
select *
from read_parquet(
    files,
    union_by_name = getvariable('some_lack_columns'),
    hive_partitioning = true,
    hive_types = {'dt': date}
)
union all
select touched.*
from read_parquet(
    getvariable('touched_files'),
    union_by_name = getvariable('some_lack_columns'),
    hive_partitioning = true,
    hive_types = {'dt': date}
) as touched
anti join superseded_in(getvariable('superseded_files')) as older
    on
        touched.span_id = older.span_id
        and touched.trace_id = older.trace_id
        and touched.ingested_at = older.ingested_at;
