-- The views that ad-hoc SQL can rely on, over the files in the variables; where the variable `as_of` is set, as they
-- would have answered at that moment.
create view spans as
select *
from spans_in(getvariable('live_files'))
where getvariable('as_of') is null or ingested_at <= getvariable('as_of');
create view llm_calls as
select *
from llm_calls_in(getvariable('live_files'))
where getvariable('as_of') is null or ingested_at <= getvariable('as_of');
create view traces as
select *
from traces_in(getvariable('live_files'), getvariable('outcomes_files'), null::date, null::date);
create macro traces_between(first_day, last_day) as table
select *
from traces_in(getvariable('live_files'), getvariable('outcomes_files'), first_day::date, last_day::date);
create view sessions as
select *
from sessions_in(getvariable('live_files'), getvariable('outcomes_files'));
create view guard_events as
select * exclude (ingested_at)
from guard_events_in(getvariable('live_files'))
where getvariable('as_of') is null or ingested_at <= getvariable('as_of');
create view superseded as select * from superseded_in(getvariable('superseded_files'));
create view corrections as
select *
from corrections_in(getvariable('corrections_files'), getvariable('settlements_files'));
create view outcomes as
select *
from outcomes_in(getvariable('outcomes_files'))
where getvariable('as_of') is null or ingested_at <= getvariable('as_of');
create view readings as select * from readings_in(getvariable('readings_files'));
create view revenue as select * from revenue_in(getvariable('revenue_files'));
create view cross_checks as
select *
from cross_checks_in(getvariable('readings_files'), getvariable('live_files'));
create view settlements as select * from rows_in(getvariable('settlements_files'));
create view spans_as_booked as
select *
from booked_in(getvariable('live_files'))
where getvariable('as_of') is null or ingested_at <= getvariable('as_of');
create view fees as select * from agreed_fees;
create view fee_shares as select * from fee_shares_in(getvariable('live_files'));
create view commitments as select * from commitment_use_in(getvariable('live_files'));
create view fx_rates as select * from agreed_fx_rates;
create view hourly_models as
select * exclude (counted_at) from cells_in(getvariable('hourly_models_cells'))
union all by name
select * from hourly_models_in(getvariable('live_files'));
create view hourly_features as
select * exclude (counted_at) from cells_in(getvariable('hourly_features_cells'))
union all by name
select * from hourly_features_in(getvariable('live_files'));
create view hourly_users as
select * exclude (counted_at) from cells_in(getvariable('hourly_users_cells'))
union all by name
select * from hourly_users_in(getvariable('live_files'));
create view daily_cube as
select * exclude (counted_at) from cells_in(getvariable('daily_cube_cells'))
union all by name
select * from daily_cube_in(getvariable('live_files'));
