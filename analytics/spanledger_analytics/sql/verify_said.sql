-- What is said of versions that spans doesn't have, for one day, one row a version.
select distinct
    said.trace_id,
    said.span_id,
    said.ingested_at
from rows_in($said) as said
where not exists (
    from rows_in($files) as rows
    where
        rows.trace_id = said.trace_id
        and rows.span_id = said.span_id
        and rows.ingested_at is not distinct from said.ingested_at
)
order by said.trace_id, said.span_id, said.ingested_at;
