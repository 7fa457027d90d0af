-- What calls share of fixed fees; one row a fee, month (UTC) and who: provider, model, environment, team, customer,
-- user, feature. Shares of a fee in a month add up to it exactly. A fee that no call can carry has one row without any
-- of these. The month that is under way, and those whose days may still get late spans, are provisional.
create or replace macro fee_shares_in(files) as table
with months as (
    select
        name as fee,
        provider as fee_provider,
        models,
        account,
        spread,
        usd_per_month,
        unnest(
            generate_series(
                first_month,
                least(coalesce(end_month - interval 1 day, current_date), current_date),
                interval 1 month
            )
        )::date as month
    from agreed_fees
),

calls as (
    select
        date_trunc('month', dt)::date as month,
        provider,
        coalesce(matched_model, response_model, request_model) as model,
        provider_account,
        environment,
        team_id,
        customer_id,
        user_id,
        feature,
        coalesce(sum((cost_usd::decimal(38, 12) * 1000000000)::hugeint), 0)::hugeint as cost,
        coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)), 0)::hugeint as tokens,
        count(*)::hugeint as calls
    from llm_calls_in(files)
    group by all
),

carried as (
    select
        months.*,
        calls.* exclude (month, provider_account, cost, tokens, calls),
        sum(case spread when 'cost' then cost when 'tokens' then tokens else calls.calls end)::hugeint as weight
    from months
    join calls
        on
            calls.month = months.month
            and (fee_provider = '*' or fee_provider = lower(calls.provider))
            and (months.account is null or months.account = calls.provider_account)
            and list_bool_or(list_transform(models, lambda pattern: lower(calls.model) glob pattern))
    group by all
    having weight > 0
),

running as (
    select
        *,
        sum(weight) over (partition by fee, month) as whole,
        sum(weight) over (
            partition by fee, month
            order by provider, model, environment, team_id, customer_id, user_id, feature
        ) as reached
    from carried
),

shared as (
    select
        *,
        (usd_per_month::decimal(38, 12) * 1000000000000)::hugeint * reached // whole
        - (usd_per_month::decimal(38, 12) * 1000000000000)::hugeint * (reached - weight) // whole as pico
    from running
)

select
    fee,
    month,
    provider,
    model,
    environment,
    team_id,
    customer_id,
    user_id,
    feature,
    (pico::decimal(25, 0) * 0.000000000001::decimal(13, 12))::decimal(38, 12) as share_usd,
    month + interval 1 month + interval 1 day > now() as provisional
from shared
union all
select
    fee,
    month,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    usd_per_month::decimal(38, 12),
    month + interval 1 month + interval 1 day > now()
from months
where not exists (select 1 from carried where carried.fee = months.fee and carried.month = months.month);

-- What was spent of what was promised; one row a commitment. Calls without a price count nothing, and are told.
create or replace macro commitment_use_in(files) as table
with used as (
    select
        agreed.name,
        coalesce(sum(cost_usd), 0)::decimal(38, 12) as spent_usd,
        count(*) filter (
            where calls.span_id is not null and cost_usd is null and billing_basis is distinct from 'plan'
        ) as unpriced_calls
    from agreed_commitments as agreed
    left join llm_calls_in(files) as calls
        on
            calls.start_time >= starts_at
            and calls.start_time < ends_at
            and (agreed.provider = '*' or agreed.provider = lower(calls.provider))
            and (agreed.account is null or agreed.account = calls.provider_account)
            and list_bool_or(
                list_transform(
                    agreed.models,
                    lambda pattern: lower(coalesce(matched_model, response_model, request_model)) glob pattern
                )
            )
    group by agreed.name
)

select
    name as commitment,
    provider,
    committed_usd::decimal(38, 12) as committed_usd,
    spent_usd,
    (committed_usd - spent_usd)::decimal(38, 12) as left_usd,
    unpriced_calls,
    starts_at,
    ends_at
from agreed_commitments
join used using (name);
