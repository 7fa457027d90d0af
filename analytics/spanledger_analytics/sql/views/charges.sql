-- What each charged call is made of; one row a call and meter that counted anything. Amounts of a call add up to its
-- cost_usd and to each part of it: what was booked holds. Meters are those of the window by which the call was priced,
-- where today's book still has it and they come to what was booked; a part where they don't is one row of its own name.
create or replace macro token_meter(meter, component, quantity, pico, rest) as {
    meter: meter,
    component: component,
    quantity: quantity::decimal(38, 6),
    atto: pico::hugeint * 1000000 + rest,
    pico: quantity::hugeint * pico + rounded(quantity::hugeint * rest)
};

create or replace macro unit_meter(unit, quantity, rate, is_free) as {
    meter: unit,
    component: 'cost_other',
    quantity: greatest(quantity::decimal(38, 6), (case when not is_free then rate.least end)::decimal(38, 6)),
    atto: case when is_free then 0 else rate.pico::hugeint * 1000000000000 + rate.rest end,
    pico: case when is_free then 0 else unit_pico(quantity, rate) end
};

create or replace macro charges_in(files) as table
with calls as (
    select
        *,
        coalesce(epoch_us(start_time), 0) as at_us,
        (at_us + 62135596800000000) % 604800000000 as week_us,
        within(
            coalesce(input_uncached_tokens, 0)::hugeint
            + coalesce(cache_read_tokens, 0)::hugeint
            + coalesce(cache_write_5m_tokens, 0)::hugeint
            + coalesce(cache_write_1h_tokens, 0)::hugeint
            + coalesce(cache_write_12h_tokens, 0)::hugeint
            + coalesce(input_audio_tokens, 0)::hugeint
            + coalesce(cache_read_audio_tokens, 0)::hugeint
            + coalesce(input_image_tokens, 0)::hugeint
        ) as all_input
    from llm_calls_in(files)
    where cost_usd is not null
),

metered as (
    select
        calls.*,
        list_filter(
            [
                token_meter('input_uncached_tokens', 'cost_input', coalesce(input_uncached_tokens, 0), pico_0, rest_0),
                token_meter('cache_read_tokens', 'cost_cache_read', coalesce(cache_read_tokens, 0), pico_1, rest_1),
                token_meter('cache_write_5m_tokens', 'cost_cache_write', coalesce(cache_write_5m_tokens, 0), pico_2, rest_2),
                token_meter('cache_write_1h_tokens', 'cost_cache_write', coalesce(cache_write_1h_tokens, 0), pico_3, rest_3),
                token_meter('cache_write_12h_tokens', 'cost_cache_write', coalesce(cache_write_12h_tokens, 0), pico_4, rest_4),
                token_meter('input_audio_tokens', 'cost_input', coalesce(input_audio_tokens, 0), pico_5, rest_5),
                token_meter('cache_read_audio_tokens', 'cost_cache_read', coalesce(cache_read_audio_tokens, 0), pico_6, rest_6),
                token_meter('input_image_tokens', 'cost_input', coalesce(input_image_tokens, 0), pico_7, rest_7),
                token_meter('output_text_tokens', 'cost_output', coalesce(output_text_tokens, 0), pico_8, rest_8),
                token_meter('reasoning_tokens', 'cost_output', coalesce(reasoning_tokens, 0), pico_9, rest_9),
                token_meter('output_audio_tokens', 'cost_output', coalesce(output_audio_tokens, 0), pico_10, rest_10),
                token_meter('output_image_tokens', 'cost_output', coalesce(output_image_tokens, 0), pico_11, rest_11)
            ],
            lambda entry: entry.quantity <> 0
        )
        || list_transform(
            list_filter(coalesce(map_entries(units), []), lambda entry: entry.value <> 0),
            lambda entry: unit_meter(entry.key, entry.value, rates[entry.key], is_free)
        )
        || case
            when request_pico > 0 then [token_meter('requests', 'cost_other', 1, request_pico, 0)] else []
        end as meters
    from calls
    left join charge_cells
        on
            provider is not distinct from of_provider
            and response_model is not distinct from of_response_model
            and request_model is not distinct from of_request_model
            and service_tier is not distinct from of_service_tier
            and speed is not distinct from of_speed
            and region is not distinct from of_region
            and is_batch is not distinct from of_is_batch
            and provider_account is not distinct from of_provider_account
            and price_id = cell_price_id
            and at_us >= from_us
            and at_us < to_us
            and week_us >= week_from_us
            and week_us < week_to_us
            and all_input > above
            and all_input <= up_to
    left join charge_unit_rates on of_cell = cell
),

components as (
    select
        *,
        list_transform(
            [
                {component: 'cost_input', pico: coalesce(pico_of(cost_input), 0)},
                {component: 'cost_cache_read', pico: coalesce(pico_of(cost_cache_read), 0)},
                {component: 'cost_cache_write', pico: coalesce(pico_of(cost_cache_write), 0)},
                {component: 'cost_output', pico: coalesce(pico_of(cost_output), 0)},
                {component: 'cost_other', pico: coalesce(pico_of(cost_other), 0)}
            ],
            lambda booked: {
                component: booked.component,
                pico: booked.pico,
                meters: list_filter(meters, lambda entry: entry.component = booked.component)
            }
        ) as booked
    from metered
),

told as (
    select
        *,
        list_transform(
            booked,
            lambda one: case
                when
                    len(list_filter(one.meters, lambda entry: entry.pico is null)) = 0
                    and coalesce(list_sum(list_transform(one.meters, lambda entry: entry.pico)), 0) = one.pico
                    then one.meters
                when one.pico <> 0
                    then [{
                        meter: one.component,
                        component: one.component,
                        quantity: null::decimal(38, 6),
                        atto: null::hugeint,
                        pico: one.pico::hugeint
                    }]
                else []
            end
        ) as known,
        pico_of(cost_usd) - list_sum(list_transform(booked, lambda one: one.pico)) as rest_pico
    from components
),

charged as (
    select
        *,
        unnest(
            flatten(known)
            || case
                when rest_pico <> 0
                    then [{
                        meter: 'cost_usd',
                        component: 'cost_usd',
                        quantity: null::decimal(38, 6),
                        atto: null::hugeint,
                        pico: rest_pico::hugeint
                    }]
                else []
            end
        ) as charge
    from told
)

select
    trace_id,
    span_id,
    start_time,
    dt,
    service_name,
    environment,
    user_id,
    team_id,
    customer_id,
    feature,
    session_id,
    provider,
    coalesce(matched_model, response_model, request_model) as model,
    cost_source,
    price_id,
    charge.component as component,
    charge.meter as meter,
    charge.quantity as quantity,
    (
        (charge.atto // 1000000000000000000)::decimal(38, 18)
        + ((charge.atto % 1000000000000000000)::decimal(18, 0) * 0.000000000000000001::decimal(18, 18))::decimal(38, 18)
    )::decimal(38, 18) as unit_price_usd,
    usd(charge.pico) as amount_usd
from charged;

create view charges as select * from charges_in(getvariable('live_files'));
