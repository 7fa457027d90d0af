-- The cells of the rollup hourly_models for the days of the variable raw_days, as they are counted; one row a cell.
select * from hourly_models_in(getvariable('live_files'));
