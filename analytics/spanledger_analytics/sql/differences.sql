-- Where do the cells of a rollup differ from those that were counted again? One row a day: cells that only one has.
with kept as (
    select * from counted_again where false  -- for the order of its columns
    union all by name
    select * exclude (counted_at) from cells_in(getvariable('cells'))
),

differing as (
    (select * from kept except all select * from counted_again)
    union all
    (select * from counted_again except all select * from kept)
)

select
    dt,
    count(*) as rows
from differing
group by dt
order by dt;
