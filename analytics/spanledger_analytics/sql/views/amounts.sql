-- Arithmetic of prices, as in the instrumentation's `pricing`: whole numbers, each meter half up to a pico-dollar.

-- Pico-dollars of millionths of them.
create or replace macro rounded(millionths) as (millionths + 500000) // 1000000;

-- Pico-dollars in 64 bits; from 10^18 on they are too many for a call, however many.
create or replace macro within(pico) as least(pico, 1000000000000000000)::bigint;

-- Millionths of a unit that are billed.
create or replace macro billed_micro(quantity, least) as greatest(
    (quantity::decimal(24, 6) * 1000000)::hugeint, least * 1000000::hugeint
);

-- Pico-dollars of a number of units; `rate` is an entry of `rates` in `unit_rates`, null without a price.
create or replace macro unit_pico(quantity, rate) as billed_micro(quantity, rate.least) * rate.pico
+ (billed_micro(quantity, rate.least) * rate.rest + 500000000000) // 1000000000000;

-- Pico-dollars of all units that counted anything; null where one has no price.
create or replace macro units_pico(units, rates, is_free) as case
    when is_free then 0
    else list_reduce(
        list_transform(
            list_filter(map_entries(units), lambda entry: entry.value <> 0),
            lambda entry: unit_pico(entry.value, rates[entry.key])
        ),
        lambda sum, pico: case when pico > 1000000000000000000 then 1000000000000000000 else sum + pico end
    )
end;

-- Dollars of pico-dollars that are not too many; of others it is no matter.
create or replace macro usd(pico) as (
    least(pico, 999999999999999999)::decimal(18, 0) * 0.000000000001::decimal(12, 12)
)::decimal(18, 12);

-- Pico-dollars of dollars.
create or replace macro pico_of(usd) as (usd::decimal(38, 12) * 1000000000000)::hugeint;
