-- When did the earliest and the latest call begin? As `reach`, by cells: the quarters of an hour in which they did.
select
    min(quarter_hour) as first,
    max(quarter_hour) as last
from cells_in($cells);
