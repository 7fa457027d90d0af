-- The versions of spans that fuller copies replaced. What a commit says that `spans` doesn't hold yet is left out.
create or replace macro superseded_in(files) as table
select *
from rows_in(files)
where not list_contains(getvariable('pending_commits'), writer || '/' || segment)
    and (getvariable('as_of') is null or written_at <= getvariable('as_of'));
