-- When did the collector last take a span, up to $until, of those that began from $begin on? One row; NULL where it took none.
select max(ingested_at) as last_span
from spans_in($files)
where start_time >= $begin and ingested_at <= $until;
