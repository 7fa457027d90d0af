-- Every span that was collected; one row a span, where nothing is said elsewhere about any row of the files (else see
-- spans_touched).
create or replace macro booked_in(files) as table
select *
from unfolded_in(files);

create or replace macro spans_in(files) as table
select *
from files_in(files);
