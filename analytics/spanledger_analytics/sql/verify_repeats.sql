-- Spans of one day with more than one version that counts, one row a span.
select
    trace_id,
    span_id,
    count(*) as versions
from rows_in($files) as rows
where not exists (
    from superseded_in($superseded) as older
    where
        older.trace_id = rows.trace_id
        and older.span_id = rows.span_id
        and older.ingested_at is not distinct from rows.ingested_at
)
group by trace_id, span_id
having count(*) > 1
order by trace_id, span_id;
