-- Do agents' own metrics say what the rows say? One row a service, metric and side, since a full hour.
select
    coalesce(service_name, '') as service_name,
    metric,
    side,
    sum(metered) as metered,
    sum(booked) as booked
from cross_checks_in($readings, $files)
where hour >= $since::timestamptz
group by service_name, metric, side
having sum(metered) > 0
order by service_name, metric, side;
