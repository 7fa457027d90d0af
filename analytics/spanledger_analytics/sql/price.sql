-- What calls cost by the book and the contract in force; one row a row of the view `rows_to_price`, with its columns.
-- What is priced, to the pico-dollar and with which reasons, is as in the collector's `price_rows`. Exactly one cell of
-- the table `price_cells` holds a call, and `unit_rates` has what units cost in it. Sums are of 64 bits where they are
-- known to fit, fractions of a pico-dollar are divided where there are any. The second join is not only for units:
-- DuckDB writes an expression out again wherever it is used, but not across a join.
with counted as (
    select
        *,
        coalesce(
            role = 'inference' and duplicate_of is null and unpriced_reason is null and cost_source is null, false
        ) as is_wanted,
        coalesce(epoch_us(start_time), 0) as at_us,
        case
            when units is null then false
            else list_bool_or(list_transform(map_values(units), lambda quantity: quantity <> 0)) is true
        end as has_units,
        coalesce(input_uncached_tokens, 0) as count_0,
        coalesce(cache_read_tokens, 0) as count_1,
        coalesce(cache_write_5m_tokens, 0) as count_2,
        coalesce(cache_write_1h_tokens, 0) as count_3,
        coalesce(cache_write_12h_tokens, 0) as count_4,
        coalesce(input_audio_tokens, 0) as count_5,
        coalesce(cache_read_audio_tokens, 0) as count_6,
        coalesce(input_image_tokens, 0) as count_7,
        coalesce(output_text_tokens, 0) as count_8,
        coalesce(reasoning_tokens, 0) as count_9,
        coalesce(output_audio_tokens, 0) as count_10,
        coalesce(output_image_tokens, 0) as count_11
    from rows_to_price
),

-- Small are calls whose counts are all in 24 bits. Weeks begin with the Monday that was 0001-01-01.
summed as (
    select
        *,
        (
            count_0 | count_1 | count_2 | count_3 | count_4 | count_5 | count_6 | count_7 | count_8 | count_9 |
            count_10 | count_11
        ) between 0 and 16777215 as is_small,
        case
            when is_small then true
            else least(
                count_0, count_1, count_2, count_3, count_4, count_5, count_6, count_7, count_8, count_9, count_10,
                count_11
            ) >= 0
            and greatest(
                count_0, count_1, count_2, count_3, count_4, count_5, count_6, count_7, count_8, count_9, count_10,
                count_11
            ) <= 4398046511104
        end as is_sound,
        case
            when is_sound
                then count_0 + count_1 + count_2 + count_3 + count_4 + count_5 + count_6 + count_7
            else 0
        end as all_input,
        case when is_sound then count_8 + count_9 + count_10 + count_11 else 0 end as all_output,
        (at_us + 62135596800000000) % 604800000000 as week_us
    from counted
),

celled as (
    select
        *,
        is_small and is_plain as fits,
        has_rests or (count_4 | count_5 | count_6 | count_7 | count_10 | count_11) <> 0 as is_odd
    from summed
    left join price_cells
        on
            provider is not distinct from of_provider
            and response_model is not distinct from of_response_model
            and request_model is not distinct from of_request_model
            and service_tier is not distinct from of_service_tier
            and speed is not distinct from of_speed
            and region is not distinct from of_region
            and is_batch is not distinct from of_is_batch
            and provider_account is not distinct from of_provider_account
            and at_us >= from_us
            and at_us < to_us
            and week_us >= week_from_us
            and week_us < week_to_us
            and all_input > above
            and all_input <= up_to
),

-- Pico-dollars of tokens, null without a price.
metered as (
    select
        *,
        case
            when lacking > 0
                then
                    lacking & 1 > 0 and count_0 > 0
                    or lacking & 2 > 0 and count_1 > 0
                    or lacking & 4 > 0 and count_2 > 0
                    or lacking & 8 > 0 and count_3 > 0
                    or lacking & 16 > 0 and count_4 > 0
                    or lacking & 32 > 0 and count_5 > 0
                    or lacking & 64 > 0 and count_6 > 0
                    or lacking & 128 > 0 and count_7 > 0
                    or lacking & 256 > 0 and count_8 > 0
                    or lacking & 512 > 0 and count_9 > 0
                    or lacking & 1024 > 0 and count_10 > 0
                    or lacking & 2048 > 0 and count_11 > 0
            else false
        end as lacks_rate,
        case
            when fits
                then count_0 * pico_0
                + case
                    when is_odd
                        then count_5 * pico_5
                        + count_7 * pico_7
                        + rounded(count_0 * rest_0)
                        + rounded(count_5 * rest_5)
                        + rounded(count_7 * rest_7)
                    else 0
                end
            when is_sound
                then within(
                    count_0::hugeint * pico_0 + rounded(count_0 * rest_0)
                    + count_5::hugeint * pico_5 + rounded(count_5 * rest_5)
                    + count_7::hugeint * pico_7 + rounded(count_7 * rest_7)
                )
        end as input_pico,
        case
            when fits
                then count_1 * pico_1
                + case
                    when is_odd
                        then count_6 * pico_6
                        + rounded(count_1 * rest_1)
                        + rounded(count_6 * rest_6)
                    else 0
                end
            when is_sound
                then within(
                    count_1::hugeint * pico_1 + rounded(count_1 * rest_1)
                    + count_6::hugeint * pico_6 + rounded(count_6 * rest_6)
                )
        end as cache_read_pico,
        case
            when fits
                then count_2 * pico_2 + count_3 * pico_3
                + case
                    when is_odd
                        then count_4 * pico_4
                        + rounded(count_2 * rest_2)
                        + rounded(count_3 * rest_3)
                        + rounded(count_4 * rest_4)
                    else 0
                end
            when is_sound
                then within(
                    count_2::hugeint * pico_2 + rounded(count_2 * rest_2)
                    + count_3::hugeint * pico_3 + rounded(count_3 * rest_3)
                    + count_4::hugeint * pico_4 + rounded(count_4 * rest_4)
                )
        end as cache_write_pico,
        case
            when fits
                then count_8 * pico_8 + count_9 * pico_9
                + case
                    when is_odd
                        then count_10 * pico_10
                        + count_11 * pico_11
                        + rounded(count_8 * rest_8)
                        + rounded(count_9 * rest_9)
                        + rounded(count_10 * rest_10)
                        + rounded(count_11 * rest_11)
                    else 0
                end
            when is_sound
                then within(
                    count_8::hugeint * pico_8 + rounded(count_8 * rest_8)
                    + count_9::hugeint * pico_9 + rounded(count_9 * rest_9)
                    + count_10::hugeint * pico_10 + rounded(count_10 * rest_10)
                    + count_11::hugeint * pico_11 + rounded(count_11 * rest_11)
                )
        end as output_pico
    from celled
),

judged as (
    select
        *,
        input_pico + cache_read_pico + cache_write_pico + output_pico + request_pico as without_units,
        case
            when
                usage_state = 'missing'
                or usage_state is null and is_small and not has_units and all_input + all_output = 0
                then 'no_usage'
            when
                usage_state = 'inconsistent'
                or not is_sound
                or input_tokens <> all_input
                or output_tokens <> all_output
                or case when has_units then list_min(map_values(units)) < 0 else false end
                then 'inconsistent'
        end as usage_reason
    from metered
),

worth as (
    select
        *,
        case
            when usage_reason is not null then usage_reason
            when cell_price_id is null then cell_reason
            when lacks_rate then 'no_price'
            when without_units > 999999999999999999 and not has_units then 'inconsistent'
        end as reason,
        is_wanted and reason is null as is_priced,
        usd(without_units) as new_usd,
        usd(input_pico) as new_input,
        usd(cache_read_pico) as new_cache_read,
        usd(cache_write_pico) as new_cache_write,
        usd(output_pico) as new_output,
        usd(request_pico) as new_other
    from judged
),

-- Where a unit has no price, their sum is null.
with_units as (
    select
        *,
        case when has_units then units_pico(units, rates, is_free) end as more_pico,
        is_priced and not has_units as is_done,
        is_priced and without_units + more_pico <= 999999999999999999 as is_dearer
    from worth
    left join unit_rates on of_cell = case when has_units then cell else -1 end
)

select
    * exclude (
        is_wanted, at_us, has_units, count_0, count_1, count_2, count_3, count_4, count_5, count_6, count_7, count_8,
        count_9, count_10, count_11, is_small, is_sound, all_input, all_output, week_us, of_provider,
        of_response_model, of_request_model, of_service_tier, of_speed, of_region, of_is_batch, of_provider_account,
        from_us, to_us, week_from_us, week_to_us, above, up_to, cell, cell_reason, cell_model, cell_source,
        cell_price_id, lacking, is_plain, has_rests, pico_0, pico_1, pico_2, pico_3, pico_4, pico_5, pico_6, pico_7,
        pico_8, pico_9, pico_10, pico_11, rest_0, rest_1, rest_2, rest_3, rest_4, rest_5, rest_6, rest_7, rest_8,
        rest_9, rest_10, rest_11, request_pico, fits, is_odd, lacks_rate, input_pico, cache_read_pico,
        cache_write_pico, output_pico, without_units, usage_reason, reason, is_priced, new_usd, new_input,
        new_cache_read, new_cache_write, new_output, new_other, of_cell, is_free, rates, more_pico, is_done, is_dearer
    )
    replace (
        case
            when is_done then new_usd when not is_wanted then cost_usd when is_dearer then usd(without_units + more_pico)
        end as cost_usd,
        case
            when is_done then new_input when not is_wanted then cost_input when is_dearer then new_input
        end as cost_input,
        case
            when is_done then new_cache_read when not is_wanted then cost_cache_read when is_dearer then new_cache_read
        end as cost_cache_read,
        case
            when is_done then new_cache_write when not is_wanted then cost_cache_write when is_dearer then new_cache_write
        end as cost_cache_write,
        case
            when is_done then new_output when not is_wanted then cost_output when is_dearer then new_output
        end as cost_output,
        case
            when is_done then new_other when not is_wanted then cost_other when is_dearer then usd(request_pico + more_pico)
        end as cost_other,
        case
            when is_done or is_dearer then null
            when not is_wanted then unpriced_reason
            when reason is not null then reason
            when more_pico is null then 'no_price'
            else 'inconsistent'
        end as unpriced_reason,
        case
            when is_done then cell_source when not is_wanted then cost_source when is_dearer then cell_source else 'none'
        end as cost_source,
        case
            when is_done then cell_price_id when not is_wanted then price_id when is_dearer then cell_price_id
        end as price_id,
        case when not is_wanted then matched_model when usage_reason is null then cell_model end as matched_model
    )
from with_units;
