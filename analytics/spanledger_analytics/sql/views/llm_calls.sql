-- Every LLM call that is charged; one row a call: leaf inference spans, no second sight of the same call.
create or replace macro llm_calls_in(files) as table
select *
from spans_in(files)
where role = 'inference' and duplicate_of is null;
