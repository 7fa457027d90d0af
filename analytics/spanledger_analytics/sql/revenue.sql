-- What was paid for each day of a period, and by whom; one row a day and payer. A line for a month is spread over its
-- days in whole pico-dollars: each day has what has come together by its end less what had by the end of the day before,
-- so days add up to the line exactly.
with days as (
    select
        unnest(generate_series(first_day, last_day, interval 1 day))::date as day,
        day - first_day as passed,
        last_day - first_day + 1 as days,
        (amount_usd * 1000000000000::decimal(13, 0))::hugeint as pico,
        nullif(customer_id, '') as customer,
        nullif(user_id, '') as user,
        nullif(team_id, '') as team,
        nullif(feature, '') as feature
    from revenue_in($revenue)
    where first_day <= $until and last_day >= $since
)

select
    day,
    customer,
    user,
    team,
    feature,
    (sum(pico * (passed + 1) // days - pico * passed // days)::decimal(25, 0) * 0.000000000001::decimal(13, 12))
        ::decimal(38, 12) as revenue_usd
from days
where
    day between $since and $until
    and (($only).customer is null or list_contains(($only).customer, coalesce(customer, '')))
    and (($but).customer is null or not list_contains(($but).customer, coalesce(customer, '')))
    and (($only).user is null or list_contains(($only).user, coalesce(user, '')))
    and (($but).user is null or not list_contains(($but).user, coalesce(user, '')))
    and (($only).team is null or list_contains(($only).team, coalesce(team, '')))
    and (($but).team is null or not list_contains(($but).team, coalesce(team, '')))
    and (($only).feature is null or list_contains(($only).feature, coalesce(feature, '')))
    and (($but).feature is null or not list_contains(($but).feature, coalesce(feature, '')))
group by all
order by all;
