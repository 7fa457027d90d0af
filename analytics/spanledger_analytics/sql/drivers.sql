-- What were the dollars of calls for? One row for each of what is asked for and each part of a call. Of a call the parts add
-- up to cost_usd: a prompt is a line of tokens in the order in which providers cache (tools, system prompt, history, tool
-- results, user text; by their bytes), of which the first were read from the cache, the next written to it, the rest
-- neither. Where a call goes on from the one before it in its trace, its history ends where that one's tokens do. `priced_rows` (of drivers_rows) tells what that would have cost uncached.
with uncached as (
    select
        trace_id,
        span_id,
        max(case when not as_if then pico_of(cost_usd) end) is not null
        and bool_and(
            case
                when not as_if
                    then (cost_input, cost_cache_read, cost_cache_write)
                        = (booked_input, booked_cache_read, booked_cache_write)
                else cost_input is not null
            end
        ) as is_known,
        max(case when as_if then pico_of(cost_input) end) - max(case when not as_if then pico_of(cost_input) end) as moved_pico
    from priced_rows
    group by trace_id, span_id
),

-- What a call's conversation (its trace, tools and system prompt) had sent before it that UTC day: so that days add up.
linked as (
    select
        trace_id,
        span_id,
        row_number() over conversation > 1 as is_again,
        row_number() over (partition by dt, trace_id, last_link order by start_time, span_id) > 1 as is_repeated,
        case when lag(priced_as) over conversation = priced_as then lag(last_link) over conversation end as link_before,
        lag(input_tokens) over conversation as sent_before,
        lag(said_tokens) over conversation as said_before
    from (
        select
            dt,
            trace_id,
            span_id,
            start_time,
            priced_as,
            input_tokens,
            coalesce(output_tokens, 0) - coalesce(reasoning_tokens, 0) as said_tokens,
            prefix_chain[1] as first_link,
            prefix_chain[-1] as last_link
        from asked_calls_in(
            $files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but
        )
        where len(prefix_chain) > 0 and ($trace::varchar is null or trace_id = $trace)
    )
    window conversation as (partition by dt, trace_id, first_link order by start_time, span_id)
),

calls as (
    select
        trace_id,
        span_id,
        bucket,
        columns('^by_.+$'),
        cost_usd,
        input_tokens,
        output_tokens,
        reasoning_tokens,
        coalesce(tools_size, 0)::hugeint as tools_end,
        tools_end + coalesce(system_size, 0) as system_end,
        system_end + coalesce(history_size, 0) as history_end,
        history_end + coalesce(tool_results_size, 0) as results_end,
        results_end + coalesce(user_size, 0) as line_end,
        coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0) as read_count,
        written(cache_write_5m_tokens, cache_write_1h_tokens, cache_write_12h_tokens) as write_count,
        coalesce(input_uncached_tokens, 0) + coalesce(input_audio_tokens, 0) + coalesce(input_image_tokens, 0) as fresh_count,
        read_count + write_count + fresh_count as line_count,
        status = 'error' and coalesce(cost_usd, 0) <> 0 as is_failed,
        line_end > 0 and line_count > 0 and not is_failed as is_told,
        coalesce(is_again, false) as is_again,
        coalesce(is_repeated, false) as is_repeated,
        sent_before,
        said_before,
        not is_repeated and list_contains(prefix_chain, link_before) and line_count >= sent_before as is_continued,
        pico_of(cost_usd) as pico,
        case when pico is not null then coalesce(pico_of(cost_input), 0) end as fresh_pico,
        case when pico is not null then coalesce(pico_of(cost_cache_read), 0) end as read_pico,
        case when pico is not null then coalesce(pico_of(cost_cache_write), 0) end as write_pico,
        case when pico is not null then coalesce(pico_of(cost_output), 0) end as output_pico,
        case when pico is not null then coalesce(pico_of(cost_other), 0) end as other_pico
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but) as asked
    left join linked using (trace_id, span_id)
    where $trace::varchar is null or trace_id = $trace
),

-- What was written and would have been there uncached is worth its plain price; beyond is the premium.
weighed as (
    select
        calls.*,
        coalesce(is_known, false) as is_worth,
        case when is_worth then moved_pico * write_count // (read_count + write_count) else write_pico end as plain_pico,
        case when is_worth then moved_pico - plain_pico - read_pico else 0 end as saved_pico,
        case when pico is not null then greatest(0, write_pico - plain_pico) end as premium_pico,
        write_pico - premium_pico as written_pico,
        case
            when coalesce(output_tokens, 0) > 0
                then output_pico * least(coalesce(reasoning_tokens, 0), output_tokens) // output_tokens
            else output_pico * 0
        end as thought_pico,
        list_transform(
            [0, tools_end, system_end, history_end, results_end, line_end],
            lambda size: (line_count * size // line_end)::bigint
        ) as places,
        case
            when is_continued and line_end > history_end
                then sent_before + case when line_count >= sent_before + said_before then said_before else 0 end
        end as known_count,
        case
            when not is_told then null
            when known_count is null then places
            else [
                0,
                least(places[2], known_count),
                least(places[3], known_count),
                known_count,
                known_count
                + ((line_count - known_count) * (results_end - history_end) // (line_end - history_end))::bigint,
                line_count
            ]
        end as ends
    from calls
    left join uncached using (trace_id, span_id)
),

-- Up to each end.
placed as (
    select
        *,
        list_transform(
            ends,
            lambda place: up_to_place(read_pico, place, read_count)
            + up_to_place(written_pico, place - read_count, write_count)
            + up_to_place(fresh_pico, place - read_count - write_count, fresh_count)
        ) as paid,
        list_transform(ends, lambda place: up_to_place(saved_pico, place, read_count)) as spared
    from weighed
),

-- Between two ends. Nothing is told apart of a call that failed.
between_ends as (
    select
        *,
        list_transform(ends, lambda place, number: place - ends[number - 1]) as tokens,
        list_transform(paid, lambda pico, number: pico - paid[number - 1]) as picos,
        list_transform(spared, lambda pico, number: pico - spared[number - 1]) as saveds,
        is_failed::int as fails,
        1 - fails as counts,
        (not is_told and not is_failed)::int as guesses,
        (is_again or is_repeated or known_count is not null)::int as repeats,
        is_repeated::int as doubles,
        (pico - premium_pico - output_pico - other_pico - coalesce(paid[6], 0)) * counts as unknown_pico,
        least(coalesce(reasoning_tokens, 0), coalesce(output_tokens, 0)) as thought_count,
        coalesce(output_tokens, 0) - thought_count as said_count,
        coalesce(input_tokens, 0) + coalesce(output_tokens, 0) as all_count
    from placed
),

summed as (
    select
        bucket,
        columns('^by_.+$'),
        [
            summed_part('tool_definitions', tokens[2], picos[2], picos[2] * repeats, saveds[2]),
            summed_part('system_prompt', tokens[3], picos[3], picos[3] * repeats, saveds[3]),
            summed_part('history', tokens[4], picos[4], picos[4], saveds[4]),
            summed_part('tool_results', tokens[5], picos[5], picos[5] * doubles, saveds[5]),
            summed_part('user_text', tokens[6], picos[6], picos[6] * doubles, saveds[6]),
            summed_part('unknown', line_count * guesses, unknown_pico, 0, saved_pico * guesses),
            summed_part('cache_premium', 0, premium_pico * counts, 0, 0),
            summed_part('reasoning', thought_count * counts, thought_pico * counts, 0, 0),
            summed_part('output', said_count * counts, (output_pico - thought_pico) * counts, 0, 0),
            summed_part('fees', 0, other_pico * counts, 0, 0),
            summed_part('failed_calls', all_count * fails, pico * fails, 0, saved_pico * fails)
        ] as parts,
        coalesce(sum(cost_usd) filter (where is_told), 0)::decimal(38, 12) as told_usd,
        count(*) filter (where not is_told and not is_failed and line_count > 0) as without_fingerprints,
        count(*) filter (where read_count + write_count > 0 and pico is not null and not is_worth) as without_saving
    from between_ends
    group by all
),

-- One row a part.
told as (
    select
        * exclude (parts),
        unnest(parts) as part
    from summed
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    part.part as part,
    part.cost_usd as cost_usd,
    part.tokens as tokens,
    part.again_usd as again_usd,
    part.saved_usd as saved_usd,
    part.calls as calls,
    told_usd,
    without_fingerprints,
    without_saving
from told
order by all;
