-- The cells of the rollup daily_cube for the days of the variable raw_days, as they are counted; one row a cell.
select * from daily_cube_in(getvariable('live_files'));
