-- The cells of the rollup hourly_users for the days of the variable raw_days, as they are counted; one row a cell.
select * from hourly_users_in(getvariable('live_files'));
