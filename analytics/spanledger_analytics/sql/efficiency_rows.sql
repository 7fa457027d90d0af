-- What would easy calls have cost at each model that their feature uses? One row an easy call (short in, short out, no tools,
-- nothing but text) and model; cached input counts as uncached, as another model has none of it cached.
with calls as (
    select
        *,
        provider as at_provider,
        request_model as at_request,
        response_model as at_response,
        region as at_region,
        provider_account as at_account
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
    where
        cost_usd is not null
        and status is distinct from 'error'
        and coalesce(operation, '') <> 'embeddings'
        and output_tokens > 0
),

models as (
    select distinct
        dt as of_day,
        feature as of_feature,
        at_provider,
        at_request,
        at_response,
        at_region,
        at_account,
        priced_as as candidate
    from calls
),

easy as (
    select
        trace_id,
        span_id,
        dt as of_day,
        feature as of_feature
    from calls
    where
        input_tokens between 1 and $short_in
        and output_tokens <= $short_out
        and coalesce(tool_count, 0) = 0
        and coalesce(input_audio_tokens, 0) + coalesce(cache_read_audio_tokens, 0) + coalesce(input_image_tokens, 0)
        + coalesce(output_audio_tokens, 0) + coalesce(output_image_tokens, 0) = 0
        and coalesce(cardinality(units), 0) = 0
)

select
    unpriced.* replace (
        at_provider as provider,
        at_request as request_model,
        at_response as response_model,
        at_region as region,
        at_account as provider_account,
        input_tokens as input_uncached_tokens,
        0 as cache_read_tokens,
        0 as cache_write_5m_tokens,
        0 as cache_write_1h_tokens,
        0 as cache_write_12h_tokens
    ),
    candidate
from unpriced_in($files, $begin, $end, $only, $but, $tags_only, $tags_but) as unpriced
inner join easy using (trace_id, span_id)
inner join models on models.of_day = easy.of_day and models.of_feature is not distinct from easy.of_feature;
