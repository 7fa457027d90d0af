-- Calls as they can be priced again, and the arithmetic of what becomes of their money.

-- The calls asked about (see `asked_calls_in`) with what prices depend on, not priced yet; who uses it changes what it
-- asks about. What a cache of ours answered was sent to nobody, so no price is asked for it.
create or replace macro unpriced_in(
    files, first_moment, end_moment, only_these, not_these, only_tags, not_tags
) as table
select
    trace_id,
    span_id,
    start_time,
    status,
    feature,
    'inference' as role,
    provider,
    request_model,
    response_model,
    service_tier,
    speed,
    region,
    is_batch,
    provider_account,
    null::varchar as duplicate_of,
    usage_state,
    input_uncached_tokens,
    cache_read_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    cache_write_12h_tokens,
    input_audio_tokens,
    cache_read_audio_tokens,
    input_image_tokens,
    input_tokens,
    output_text_tokens,
    reasoning_tokens,
    output_audio_tokens,
    output_image_tokens,
    output_tokens,
    units,
    null::varchar as unpriced_reason,
    null::varchar as cost_source,
    null::varchar as price_id,
    null::varchar as matched_model,
    null::decimal(18, 12) as cost_usd,
    null::decimal(18, 12) as cost_input,
    null::decimal(18, 12) as cost_cache_read,
    null::decimal(18, 12) as cost_cache_write,
    null::decimal(18, 12) as cost_output,
    null::decimal(18, 12) as cost_other,
    cost_usd as booked_usd,
    cost_input as booked_input,
    cost_cache_read as booked_cache_read,
    cost_cache_write as booked_cache_write
from asked_calls_in(
    files, first_moment, end_moment, null, null::varchar[], null::varchar[], only_these, not_these, only_tags, not_tags
)
where billing_basis is distinct from 'cached';

-- Tokens written to the cache, for however long.
create or replace macro written(for_5m, for_1h, for_12h) as
coalesce(for_5m, 0) + coalesce(for_1h, 0) + coalesce(for_12h, 0);

-- How much of a whole falls on the first `place` of `count`; differences add up to the whole.
create or replace macro up_to_place(whole, place, count) as case
    when count > 0 then whole::hugeint * greatest(0, least(place, count))::hugeint // count::hugeint else 0::hugeint
end;

-- Dollars of pico-dollars, null of null.
create or replace macro dollars(pico) as case when pico is not null then usd(pico) end;

-- A part of a call's cost, summed up; one row of many. `again` is what of it had been sent before in the same trace, `saved`
-- what the cache saved of it.
create or replace macro summed_part(part, tokens, pico, again, saved) as {
    part: part,
    tokens: sum(tokens)::bigint,
    cost_usd: sum(dollars(pico)),
    again_usd: sum(dollars(again)),
    saved_usd: sum(dollars(saved)),
    calls: count(*) filter (where tokens > 0 or pico <> 0)
};
