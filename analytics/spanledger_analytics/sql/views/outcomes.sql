-- Every outcome; one row an outcome, however often it was sent.
create or replace macro outcomes_in(files) as table
select *
from rows_in(files)
qualify row_number() over (partition by outcome_id order by ingested_at) = 1;
