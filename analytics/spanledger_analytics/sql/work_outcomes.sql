-- How did work end? One row an outcome (of the name `$outcome`, null: any); sessions and traces are told as by `work`.
select
    outcome_id,
    occurred_at,
    md5_number_lower('session ' || session_id) as session,
    md5_number_lower('trace ' || trace_id) as trace,
    case
        when score is not null then score >= $at_least::decimal(18, 6)
        when label is not null then lower(label) in ('success', 'pass')
        else true
    end as succeeded
from outcomes_in($outcomes)
where $outcome is null or name = $outcome
order by all;
