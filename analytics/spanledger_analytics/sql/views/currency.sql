-- An amount in another currency, by the rate of the contract that is in force on the day (UTC); NULL where none is.
-- A rate says what one unit costs in US dollars, from 00:00 UTC of its first day until the next one. In whole numbers of
-- 1e-12: dividing decimals would make them floats. Rounded half up, away from zero.
create or replace macro divided_half_up(pico, by_pico) as
sign(pico) * ((2 * abs(pico) * 1000000000000::hugeint + by_pico) // (2 * by_pico));

create or replace macro in_currency(amount_usd, moment, wanted) as
(
    divided_half_up(
        (amount_usd::decimal(38, 12) * 1000000000000)::hugeint,
        case
            when upper(wanted) = 'USD' then 1000000000000::hugeint
            else (
                select max_by((usd * 1000000000000)::hugeint, first_day)
                from agreed_fx_rates
                where currency = upper(wanted) and first_day <= moment::date
            )
        end
    )::decimal(25, 0) * 0.000000000001::decimal(13, 12)
)::decimal(38, 12);
