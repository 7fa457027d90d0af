"""The raw table -> rows of `spans`: every dialect becomes one canonical row, not yet priced.

Driven by the tables of `dialects` and done column by column, so that a batch costs no Python per span. Money is left
to `pricing`; here it is only decided what must not be priced (`unpriced_reason`), and what the emitter claimed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .controls import CACHED, NO_SOURCE, control_columns, is_cached, is_free, without_usage
from .dialects import (
    BY_NAME,
    DIALECTS,
    ERAS,
    FREE,
    INPUT_ONLY,
    NO_PROVIDERS,
    OTEL,
    PLAN_PROVIDERS,
    PROVIDER_ENDINGS,
    PROVIDERS,
    ROLES,
    RULES,
    SELLERS,
    STATING_PROVIDERS,
    Dialect,
    Era,
    Rule,
    dialect_of,
    is_before,
)
from .rawspans import Flags, RawSpans, flags, is_word, known, translate, words_of
from .row import HASH_LIST, MONEY, MONEY_PARTS, SCHEMA, TIME, UNIT_MAP
from .tokens import Context, Count, token_columns
from .vocabulary import COUNTS, CURRENCY, FIRSTS, FLAGS, HASHES, NUMBERS, OPERATION_WORDS, RESOURCE_TEXTS, TEXTS

_KINDS: Final = ("internal", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")
_PICO: Final = Decimal("1e-12")
_MICRO: Final = Decimal("1e-6")
_MONEY_LIMIT_PICO: Final = 10**18
_MOST_ATTEMPTS: Final = 10_000
_PART_SIZES: Final = ("tool_count", "system_size", "tools_size", "history_size", "tool_results_size", "user_size")
_UNIT_LIMIT: Final = Decimal(10) ** 12
_NO_TEXT: Final = pa.scalar(None, pa.string())
_UNKNOWN_BASIS: Final = "unknown"
_PAID_BY_USE: Final = "usage_based"
_BASES: Final = frozenset({"usage", "plan", _UNKNOWN_BASIS})


def normalise(
    table: pa.Table, received_ns: Sequence[int], billing: Mapping[str, str] = MappingProxyType({})
) -> pa.Table:
    """Return rows of `row.SCHEMA`, in the order of a raw table, with no money but what the emitters claimed.

    Args:
        table: The raw table.
        received_ns: When each body was taken in, by number of the body.
        billing: Pattern of a service's name in lower case -> usage or plan, for calls that don't say it themselves.
    """
    raw = RawSpans(table)
    counts = {name: raw.count(name) for name in COUNTS}
    columns = _identity(raw, received_ns)
    columns |= {name: raw.text(name) for name in {**TEXTS, **RESOURCE_TEXTS}}
    columns |= {name: raw.pick(keys, pa.bool_()) for name, keys in FLAGS.items()}
    columns |= {name: raw.first(name) for name in FIRSTS}
    columns["provider"] = pc.coalesce(
        translate(columns["provider"], _provider), translate(columns["request_model"], _seller)
    )
    columns["dialect"] = _dialects(columns)
    columns["stream"] = _streams(columns)
    columns["operation"] = _operations(raw, columns)
    columns["role"] = _roles(counts, columns)
    columns["units"], has_units = _units(raw.column("units"))
    columns |= token_columns(counts, _context(columns, has_units))
    columns |= control_columns(raw, columns)
    columns["usage_state"] = without_usage(columns)
    columns |= _how(raw, counts, _is_of(columns, [dialect for dialect in DIALECTS if dialect.first_token_ms]))
    columns |= _fingerprints(raw, counts)
    columns |= _claims(raw, counts["cost_pico"], columns["role"])
    columns |= {"retry_cost_usd": _estimate(counts["retry_pico"]), "avoided_usd": _estimate(counts["avoided_pico"])}
    columns |= _said(columns)
    columns |= _reasons(columns, has_units)
    columns["billing_basis"] = _billing(columns, billing)
    columns |= {"attributes": raw.returned("attributes", "span:"), "resource": raw.returned("resource", "resource:")}
    return pa.table(
        [columns[field.name] if field.name in columns else pa.nulls(raw.rows, field.type) for field in SCHEMA],
        schema=SCHEMA,
    )


def _identity(raw: RawSpans, received_ns: Sequence[int]) -> dict[str, pa.Array]:
    start, end = (raw.column(name).to_numpy() for name in ("start_ns", "end_ns"))
    duration = (end - start) // 1000
    taken = np.asarray(received_ns, np.int64)[raw.column("body").to_numpy()] // 1000
    same = ("trace_id", "span_id", "parent_span_id", "name", "status_message", "scope_name", "scope_version")
    return {name: raw.column(name) for name in (*same, "tags", "events")} | {
        "kind": words_of(raw.column("kind"), _KINDS),
        "status": words_of(raw.column("status"), _STATUSES),
        "start_time": pa.array((start // 1000).astype(np.int64), pa.int64()).cast(TIME),
        "duration_us": pa.array(duration.astype(np.int64), pa.int64(), mask=end < start),
        "ingested_at": pa.array(taken, pa.int64()).cast(TIME),
    }


def _dialects(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the dialect of each span: by its scope, else by having any gen_ai.* attribute that says what it is."""

    def named(scope: str) -> str | None:
        dialect = dialect_of(scope)
        return dialect.name if dialect else None

    found = translate(columns["scope_name"], named)
    speaks = known(columns["operation"]) | known(columns["request_model"]) | known(columns["provider"])
    return pc.if_else(pa.array(~known(found) & speaks), pa.scalar(OTEL.name), found)


def _streams(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return whether a call was a stream, by its attributes or else by the name of its span."""
    found = columns["stream"]
    for dialect in (one for one in DIALECTS if one.streams):
        speaks = is_word(columns["dialect"], dialect.name)
        if speaks.any():
            named = flags(pc.match_substring_regex(columns["name"], dialect.streams))
            found = pc.coalesce(found, pa.array(np.ones(len(speaks), bool), mask=~(speaks & named)))
    return found


def _operations(raw: RawSpans, columns: Mapping[str, pa.Array]) -> pa.Array:
    found = [columns["operation"]]
    for key, words in OPERATION_WORDS.items():
        found_words = {word: word.strip('"').lower() for word in raw.distinct(key)}
        named = {word: words.get(plain, plain) for word, plain in found_words.items()}
        found.append(translate(raw.pick((key,), pa.string()), named.get))
    operation = pc.coalesce(*found)
    for rule in RULES:
        speaks = pc.fill_null(pc.equal(columns["dialect"], rule.dialect), False) if rule.dialect else pa.scalar(True)
        if rule.key and not raw.has(rule.key):
            continue
        if pc.any(speaks).as_py():
            hit = pc.and_(speaks, _matches(rule, raw, columns))
            operation = pc.if_else(hit, pa.scalar(rule.operation), operation)
    return operation


def _matches(rule: Rule, raw: RawSpans, columns: Mapping[str, pa.Array]) -> pa.Array:
    text = raw.pick((rule.key,), pa.string()) if rule.key else columns["name"]
    hit = pc.fill_null(pc.match_substring_regex(text, rule.pattern), False)
    return pc.and_(hit, pc.is_null(columns[rule.without])) if rule.without else hit


def _roles(counts: Mapping[str, Count], columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the role by the operation; a span that names none but meters tokens of a model is an inference."""
    by_operation = pc.fill_null(translate(columns["operation"], lambda word: ROLES.get(word, "other")), "other")
    told = np.any([counts[name].known for name in ("input", "input_uncached", "output", "output_text")], axis=0)
    silent = ~known(columns["operation"]) & told
    has_model = known(columns["request_model"]) | known(columns["response_model"])
    return pc.if_else(pa.array(silent & has_model), pa.scalar("inference"), by_operation)


def _of_eras(columns: Mapping[str, pa.Array], eras: Sequence[Era]) -> Flags:
    """Return which spans are of versions of these eras."""
    found = np.zeros(len(columns["scope_name"]), bool)
    for era in eras:
        spoken = is_word(columns["scope_name"], era.scope)
        if spoken.any():
            versions = pc.unique(columns["scope_version"]).drop_null().to_pylist()
            early = pa.array([version for version in versions if is_before(version, era.before)], pa.string())
            found |= spoken & flags(pc.is_in(columns["scope_version"], early))
    return found


def _context(columns: Mapping[str, pa.Array], has_units: Flags) -> Context:
    inference = is_word(columns["role"], "inference")
    basis = translate(columns["dialect"], lambda name: BY_NAME[name].basis)
    exclusive = is_word(basis, "exclusive") | _of_eras(columns, [era for era in ERAS if era.exclusive])
    for dialect in DIALECTS:
        for provider in dialect.exclusive_providers:
            exclusive |= is_word(columns["dialect"], dialect.name) & is_word(columns["provider"], provider)
    # Anthropic tells the output with the reason to stop; what a stream says before is a placeholder.
    unfinished = is_word(columns["provider"], "anthropic") & ~known(columns["finish_reason"])
    return Context(
        inference=inference,
        input_only=flags(pc.is_in(columns["operation"], pa.array(sorted(INPUT_ONLY)))),
        cut_short=inference & unfinished & flags(pc.fill_null(columns["stream"], False)),
        exclusive=exclusive,
        detect=~is_word(basis, "inclusive"),
        omits_zero=_is_of(columns, [dialect for dialect in DIALECTS if dialect.omits_zero])
        & ~_of_eras(columns, [era for era in ERAS if era.silent]),
        has_units=has_units,
        stated=columns["usage_state"],
    )


def _how(raw: RawSpans, counts: Mapping[str, Count], in_ms: Flags) -> dict[str, pa.Array]:
    most, attempts, resends = counts["max_tokens"], counts["attempts"], counts["resends"]
    tries = np.where(attempts.known, attempts.values, resends.values + 1)
    first, first_ms = raw.number("first_token_s"), raw.number("first_token_ms")
    first = np.where(np.isnan(first), first_ms / 1000, np.where(in_ms, first / 1000, first))
    sane = np.isfinite(first) & (first >= 0) & (first < 1e9)
    return {
        "max_tokens": pa.array(most.values, mask=~(most.known & (most.values >= 0))),
        "attempts": pa.array(tries, mask=~(attempts.known | resends.known) | (tries < 1) | (tries > _MOST_ATTEMPTS)),
        "temperature": raw.pick(NUMBERS["temperature"], pa.float64()),
        "first_token_us": pa.array(np.rint(np.where(sane, first, 0) * 1e6).astype(np.int64), mask=~sane),
    }


def _fingerprints(raw: RawSpans, counts: Mapping[str, Count]) -> dict[str, pa.Array]:
    """Return the columns that tell prompts apart; a part of which a prompt says nothing has size 0."""
    chain = raw.pick(HASHES["prefix_chain"], HASH_LIST)
    made = known(chain)
    columns = {"prefix_chain": chain, "simhash": _counted(counts["simhash"], counts["simhash"].known)}
    for name in ("turn", "message_count"):
        columns[name] = _counted(counts[name], counts[name].known & (counts[name].values >= 0))
    for name in _PART_SIZES:
        count = counts[name]
        columns[name] = _counted(count, (count.known | made) & (count.values >= 0))
    return columns


def _counted(count: Count, mask: Flags) -> pa.Array:
    return pa.array(count.values, mask=~mask)


def _claims(raw: RawSpans, exact: Count, role: pa.Array) -> dict[str, pa.Array]:
    """Return what the emitter says it cost: exact from pico-dollars, else from the shortest text of the double."""
    sane = exact.known & (exact.values > -_MONEY_LIMIT_PICO) & (exact.values < _MONEY_LIMIT_PICO)
    pico, claimed = np.where(sane, exact.values, 0), sane.copy()
    doubles = _dollars(raw)
    for row in np.flatnonzero(~sane & (np.abs(doubles) < _MONEY_LIMIT_PICO / 1e12)):
        pico[row] = int(Decimal(repr(float(doubles[row]))).quantize(_PICO, ROUND_HALF_UP).scaleb(12))
        claimed[row] = True
    agent = is_word(role, "agent")
    return {
        "reported_cost_usd": _money(pico, claimed & ~agent),
        "aggregate_cost_usd": _money(pico, claimed & agent),
    }


def _dollars(raw: RawSpans) -> npt.NDArray[np.float64]:
    """Return what the emitter says in dollars; a claim in another currency is none."""
    currency = raw.pick((CURRENCY,), pa.string())
    foreign = known(currency) & ~is_word(pc.utf8_upper(currency), "USD")
    return np.where(foreign, np.nan, raw.number("cost_usd"))


def _is_of(columns: Mapping[str, pa.Array], dialects: Sequence[Dialect]) -> Flags:
    """Return which spans speak one of the dialects."""
    return flags(pc.is_in(columns["dialect"], pa.array([dialect.name for dialect in dialects], pa.string())))


def _estimate(told: Count) -> pa.Array:
    """Return an emitter's own sum that is in no cost."""
    sane = told.known & (told.values >= 0) & (told.values < _MONEY_LIMIT_PICO)
    return _money(np.where(sane, told.values, 0), sane)


def _said(columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Book the money that needs no price: declared for a paid tool, stated by a provider that bills just that, or none.

    Every other claim is left to pricing.
    """
    free = pa.array(is_free(columns))
    declared = is_word(columns["role"], "tool") & is_word(columns["cost_source"], "declared")
    bills_so = flags(pc.is_in(columns["provider"], pa.array(sorted(STATING_PROVIDERS))))
    stated = is_word(columns["role"], "inference") & is_word(columns["cost_source"], "provider") & bills_so
    mask = pa.array((declared | stated) & known(columns["reported_cost_usd"]))
    zero, unknown = pa.scalar(Decimal(0), MONEY), pa.scalar(None, MONEY)
    money = pc.if_else(free, zero, pc.if_else(mask, columns["reported_cost_usd"], unknown))
    nothing = pc.if_else(pc.or_(free, mask), zero, unknown)
    return {
        "cost_source": pc.if_else(free, NO_SOURCE, pc.if_else(mask, columns["cost_source"], _NO_TEXT)),
        **dict.fromkeys(MONEY_PARTS, nothing),
        "cost_other": money,
        "cost_usd": money,
    }


def _reasons(columns: Mapping[str, pa.Array], has_units: Flags) -> dict[str, pa.Array]:
    """Return why some spans must not be priced."""
    inference, agent = is_word(columns["role"], "inference"), is_word(columns["role"], "agent")
    state = columns["usage_state"]
    missing = inference & is_word(state, "missing") & ~has_units
    metered = known(state) | known(columns["aggregate_cost_usd"])
    reasons = np.full(len(state), None, dtype=object)
    reasons[missing] = "no_usage"
    reasons[missing & is_word(columns["status"], "error")] = "error"
    reasons[inference & is_word(state, "inconsistent")] = "inconsistent"
    other = is_word(columns["role"], "other") & ~flags(pc.is_in(columns["operation"], pa.array(sorted(FREE))))
    reasons[(agent | other) & metered] = "aggregate"
    reasons[known(columns["cost_source"])] = None
    return {"unpriced_reason": pa.array(reasons, pa.string())}


def _billing(columns: Mapping[str, pa.Array], billing: Mapping[str, str]) -> pa.Array:
    """Return who pays for an inference: our cache, what it or its account says, else what is set for its service."""
    said = translate(columns["billing_basis"], lambda word: word.lower() if word.lower() in _BASES else None)
    unknown = is_word(said, _UNKNOWN_BASIS)
    said = pc.if_else(pa.array(unknown), _NO_TEXT, said)
    by_use = is_word(columns["seat"], _PAID_BY_USE)
    of_plan = pc.if_else(pa.array(known(columns["plan"])), pa.scalar("plan"), _NO_TEXT)
    of_account = pc.if_else(pa.array(by_use), pa.scalar("usage"), of_plan)
    of_service = translate(columns["service_name"], lambda name: _first_fitting(billing, name))
    of_provider = translate(columns["provider"], lambda name: "plan" if name in PLAN_PROVIDERS else None)
    rest = pc.if_else(pa.array(unknown), _NO_TEXT, pa.scalar("usage"))
    inference = pa.array(is_word(columns["role"], "inference"))
    paid = pc.if_else(inference, pc.coalesce(said, of_account, of_service, of_provider, rest), _NO_TEXT)
    return pc.if_else(pa.array(is_cached(columns)), CACHED, paid)


def _first_fitting(patterns: Mapping[str, str], name: str) -> str | None:
    return next((basis for pattern, basis in patterns.items() if fnmatchcase(name.lower(), pattern)), None)


def _units(texts: pa.Array) -> tuple[pa.Array, Flags]:
    """Return units as decimals, and which spans have any; what is no number is left out."""
    if not len(texts.items):
        return texts.cast(UNIT_MAP), np.zeros(len(texts), bool)
    rows = [[(key, _unit(text)) for key, text in row or ()] for row in texts.to_pylist()]
    rows = [[(key, amount) for key, amount in row if amount is not None] for row in rows]
    return pa.array(rows, UNIT_MAP), np.array([bool(row) for row in rows], bool)


def _unit(text: str) -> Decimal | None:
    try:
        amount = Decimal(text).quantize(_MICRO, ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) < _UNIT_LIMIT else None


def _money(pico: npt.NDArray[np.int64], claimed: Flags) -> pa.Array:
    """Return pico-dollars as DECIMAL(18,12), without a detour through floating point."""
    words = np.stack([pico, pico >> 63], axis=1)  # little-endian 128 bits: value, then sign
    validity = pa.array(claimed).buffers()[1]
    return pa.Array.from_buffers(MONEY, len(pico), [validity, pa.py_buffer(np.ascontiguousarray(words))])


def _seller(model: str) -> str | None:
    return next((seller for pattern, seller in SELLERS if re.search(pattern, model)), None)


def _provider(name: str) -> str | None:
    """Return a provider's one name; None for a framework that names itself in its place."""
    lower = name.lower()
    for ending in PROVIDER_ENDINGS:
        if lower not in PROVIDERS:
            lower = lower.removesuffix(ending)
    found = PROVIDERS.get(lower, lower)
    return None if found in NO_PROVIDERS else found
