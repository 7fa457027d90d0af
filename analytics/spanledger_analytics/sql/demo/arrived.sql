-- Which of these calls and spans can be asked for already? One row.
select
    (select count(distinct response_id) from llm_calls where list_contains($responses, response_id)) as calls,
    (select count(distinct span_id) from spans where list_contains($spans, span_id)) as spans;
