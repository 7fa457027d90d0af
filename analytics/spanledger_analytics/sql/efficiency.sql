-- What was paid for that brought little? One row for each of what is asked for and each finding; a call may be in several.
-- `priced_rows` (of efficiency_rows) are easy calls at other models. Of those that a feature uses the one counts at which all
-- its easy calls come to least; where it is used in several ways (accounts, regions), each in the cheapest.
with priced as (
    select
        trace_id,
        span_id,
        start_time::date as day,
        feature,
        candidate,
        min(cost_usd) as cost_usd
    from priced_rows
    group by all
),

candidates as (
    select
        day,
        feature,
        candidate,
        sum(cost_usd) as candidate_usd,
        count(*) as priced_count,
        count(cost_usd) as known_count
    from priced
    group by day, feature, candidate
),

cheapest as (
    select
        day as of_day,
        feature as of_feature,
        arg_min(candidate, (candidate_usd, candidate)) as cheapest_model
    from candidates
    where priced_count = known_count
    group by day, feature
),

easy as (
    select
        trace_id,
        span_id,
        cheapest_model,
        cost_usd as cheapest_usd
    from priced
    inner join cheapest on day = of_day and feature is not distinct from of_feature and candidate = cheapest_model
),

calls as (
    select
        asked.*,
        cheapest_model,
        case when cheapest_usd < cost_usd and priced_as <> cheapest_model then cost_usd - cheapest_usd end as over_usd,
        status = 'error' as is_failed,
        coalesce(operation, '') <> 'embeddings' as speaks,
        -- As providers say it, without the name of an enum before it: `FinishReason.MAX_TOKENS`.
        lower(split_part(finish_reason, '.', -1)) in (
            'length', 'max_tokens', 'max_output_tokens', 'model_length', 'model_context_window_exceeded', 'token_limit',
            'error_limit'
        ) as is_cut,
        10 * output_tokens >= 9 * max_tokens as is_near,
        2 * output_tokens <= max_tokens as is_far,
        coalesce(input_tokens, 0) + coalesce(output_tokens, 0) as all_tokens
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but) as asked
    left join easy using (trace_id, span_id)
),

found as (
    select
        *,
        list_filter(
            [
                {finding: 'truncated', is_so: is_cut and not is_failed, usd: cost_usd, tokens: all_tokens},
                {finding: 'failed', is_so: is_failed and cost_usd > 0, usd: cost_usd, tokens: all_tokens},
                {
                    finding: 'empty',
                    is_so: speaks and not is_failed and output_tokens = 0 and input_tokens > 0 and is_cut is distinct from true,
                    usd: cost_usd,
                    tokens: all_tokens
                },
                {
                    finding: 'near_cap',
                    is_so: is_near and not is_failed and is_cut is distinct from true,
                    usd: cost_usd,
                    tokens: all_tokens
                },
                {
                    finding: 'unused_cap',
                    is_so: is_far and not is_failed,
                    usd: 0::decimal(18, 12),
                    tokens: max_tokens - output_tokens
                },
                {finding: 'dear_model', is_so: over_usd > 0, usd: over_usd, tokens: all_tokens},
                {
                    finding: 'retries',
                    is_so: attempts > 1 or retry_cost_usd > 0,
                    usd: coalesce(retry_cost_usd, 0),
                    tokens: 0
                }
            ],
            lambda one: one.is_so
        ) as findings
    from calls
),

told as (
    select
        bucket,
        columns('^by_.+$'),
        cheapest_model,
        unnest(findings) as finding
    from found
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    finding.finding as finding,
    sum(finding.usd) as cost_usd,
    count(*) as calls,
    sum(finding.tokens)::bigint as tokens,
    list_sort(list(distinct cheapest_model) filter (where finding.finding = 'dear_model')) as cheaper_models
from told
group by all
order by all;
