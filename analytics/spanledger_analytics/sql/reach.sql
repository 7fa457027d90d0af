-- When did the earliest and the latest call begin? One row; NULL where there is none.
select
    min(start_time) as first,
    max(start_time) as last
from llm_calls_in($files);
