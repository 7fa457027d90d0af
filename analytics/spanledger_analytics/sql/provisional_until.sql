-- How far has the lake to be settled until no call of a day is provisional? One row a day that has such calls,
-- in milliseconds since 1970.
select
    dt,
    max(coalesce(epoch_ms(ingested_at) + 1, 9007199254740992)) as until_ms
from llm_calls_in(getvariable('live_files'))
where provisional and list_contains(getvariable('raw_days'), dt)
group by dt;
