"""The raw table -> rows of `spans`: every dialect becomes one canonical row, not yet priced.

Driven by the tables of `dialects` and done column by column, so that a batch costs no Python per span. Money is left
to `pricing`; here it is only decided what must not be priced (`unpriced_reason`), and what the emitter claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .dialects import BY_NAME, DIALECTS, INPUT_ONLY, OTEL, PROVIDERS, ROLES, RULES, Rule, dialect_of
from .row import MONEY, SCHEMA, TIME, UNIT_MAP
from .tokens import Context, Count, token_columns
from .vocabulary import COUNTS, FIRSTS, FLAGS, MINED, NUMBERS, OPERATION_WORDS, RESOURCE_TEXTS, TEXTS

_KINDS: Final = ("internal", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")
_PICO: Final = Decimal("1e-12")
_MICRO: Final = Decimal("1e-6")
_MONEY_LIMIT_PICO: Final = 10**18
_UNIT_LIMIT: Final = Decimal(10) ** 12


def normalise(raw: pa.Table, received_ns: Sequence[int]) -> pa.Table:
    """Return rows of `row.SCHEMA`, in the order of `raw`, with no money but what the emitters claimed.

    `received_ns` is the time at which each body was taken in, by number of the body.
    """
    wire = _Wire(raw)
    columns = _identity(wire, received_ns)
    columns |= {name: wire.texts(name) for name in {**TEXTS, **RESOURCE_TEXTS} if name != "usage_state"}
    columns |= {name: wire.pick("span:", keys, pa.bool_()) for name, keys in FLAGS.items()}
    columns |= {name: wire.pick("span:", keys, pa.string()) for name, keys in FIRSTS.items()}
    columns["provider"] = _translate(columns["provider"], _provider)
    columns["dialect"] = _dialects(wire, columns)
    columns["operation"] = _operations(wire, columns)
    columns["role"] = _roles(wire, columns)
    columns["units"], has_units = _units(wire.column("units"))
    columns |= token_columns({name: wire.count(name) for name in COUNTS}, _context(wire, columns, has_units))
    columns |= _how(wire)
    columns |= _claims(wire, columns["role"])
    columns["unpriced_reason"] = _unpriced_reasons(columns, has_units)
    rows = raw.num_rows
    return pa.table(
        [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in SCHEMA],
        schema=SCHEMA,
    )


class _Wire:
    """The raw table with the look-ups that the tables of `dialects` ask for."""

    def __init__(self, raw: pa.Table) -> None:
        self.rows = raw.num_rows
        self._columns = {name: raw[name].combine_chunks() for name in raw.column_names}

    def column(self, name: str) -> pa.Array:
        return self._columns[name]

    def pick(self, prefix: str, keys: Sequence[str], kind: pa.DataType) -> pa.Array:
        """Return the first of `keys` that each span has."""
        present = [self._columns[prefix + key] for key in keys if prefix + key in self._columns]
        if not present:
            return pa.nulls(self.rows, kind)
        return present[0] if len(present) == 1 else pc.coalesce(*present)

    def distinct(self, key: str) -> list[str]:
        """Return the different texts of one key."""
        found: list[str] = self.pick("span:", (key,), pa.string()).drop_null().unique().to_pylist()
        return found

    def texts(self, name: str) -> pa.Array:
        """Return a text column, from the span or else from its resource; empty text is NULL."""
        found = [
            _nonempty(self.pick(prefix, table[name], pa.string()))
            for prefix, table in (("span:", TEXTS), ("resource:", RESOURCE_TEXTS))
            if name in table
        ]
        return pc.coalesce(*found, *self._mined(name)) if len(found) > 1 or name in MINED else found[0]

    def count(self, name: str) -> Count:
        found = self.pick("span:", COUNTS[name], pa.int64())
        if mined := self._mined(name):
            found = pc.coalesce(found, *(texts.cast(pa.int64()) for texts in mined))
        return Count(_numbers(found, 0), _known(found))

    def _mined(self, name: str) -> list[pa.Array]:
        """Return what stands inside the JSON texts of other keys."""
        return [
            pc.struct_field(pc.extract_regex(self._columns[f"span:{key}"], pattern), "found")
            for key, pattern in MINED.get(name, ())
            if f"span:{key}" in self._columns
        ]


def _identity(wire: _Wire, received_ns: Sequence[int]) -> dict[str, pa.Array]:
    start, end = (wire.column(name).to_numpy() for name in ("start_ns", "end_ns"))
    duration = (end - start) // 1000
    taken = np.asarray(received_ns, np.int64)[wire.column("body").to_numpy()] // 1000
    same = ("trace_id", "span_id", "parent_span_id", "name", "status_message", "scope_name", "scope_version")
    maps = ("tags", "attributes", "resource", "events")
    return {name: wire.column(name) for name in same + maps} | {
        "kind": _words(wire.column("kind"), _KINDS),
        "status": _words(wire.column("status"), _STATUSES),
        "start_time": pa.array((start // 1000).astype(np.int64), pa.int64()).cast(TIME),
        "duration_us": pa.array(duration.astype(np.int64), pa.int64(), mask=end < start),
        "ingested_at": pa.array(taken, pa.int64()).cast(TIME),
    }


def _dialects(wire: _Wire, columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the dialect of each span: by its scope, else by having any gen_ai.* attribute that says what it is."""

    def named(scope: str) -> str | None:
        dialect = dialect_of(scope)
        return dialect.name if dialect else None

    known = _translate(columns["scope_name"], named)
    speaks = np.zeros(wire.rows, bool)
    for name in ("operation", "request_model", "provider"):
        speaks |= _known(columns[name])
    return pc.if_else(pa.array(~_known(known) & speaks), pa.scalar(OTEL.name), known)


def _operations(wire: _Wire, columns: Mapping[str, pa.Array]) -> pa.Array:
    found = [columns["operation"]]
    for key, words in OPERATION_WORDS.items():
        named = {word: words.get(word.lower(), word.lower()) for word in wire.distinct(key)}
        found.append(_translate(wire.pick("span:", (key,), pa.string()), named.get))
    operation = pc.coalesce(*found)
    for rule in RULES:
        speaks = pc.fill_null(pc.equal(columns["dialect"], rule.dialect), False)
        if pc.any(speaks).as_py():
            hit = pc.and_(speaks, _matches(rule, wire, columns))
            operation = pc.if_else(hit, pa.scalar(rule.operation), operation)
    return operation


def _matches(rule: Rule, wire: _Wire, columns: Mapping[str, pa.Array]) -> pa.Array:
    text = wire.pick("span:", (rule.key,), pa.string()) if rule.key else columns["name"]
    hit = pc.fill_null(pc.match_substring_regex(text, rule.pattern), False)
    return pc.and_(hit, pc.is_null(columns[rule.without])) if rule.without else hit


def _roles(wire: _Wire, columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return the role by the operation; a span that names none but meters tokens of a model is an inference."""
    by_operation = pc.fill_null(_translate(columns["operation"], lambda word: ROLES.get(word, "other")), "other")
    silent = ~_known(columns["operation"]) & (wire.count("input").known | wire.count("output").known)
    has_model = _known(columns["request_model"]) | _known(columns["response_model"])
    return pc.if_else(pa.array(silent & has_model), pa.scalar("inference"), by_operation)


def _context(wire: _Wire, columns: Mapping[str, pa.Array], has_units: npt.NDArray[np.bool_]) -> Context:
    inference = _is(columns["role"], "inference")
    basis = _translate(columns["dialect"], lambda name: BY_NAME[name].basis)
    exclusive = _is(basis, "exclusive")
    for dialect in DIALECTS:
        for provider in dialect.exclusive_providers:
            exclusive |= _is(columns["dialect"], dialect.name) & _is(columns["provider"], provider)
    omits_zero = pc.is_in(columns["dialect"], pa.array([dialect.name for dialect in DIALECTS if dialect.omits_zero]))
    # Anthropic tells the output with the reason to stop; what a stream says before is a placeholder.
    unfinished = _is(columns["provider"], "anthropic") & ~_known(columns["finish_reason"])
    return Context(
        inference=inference,
        input_only=_flags(pc.is_in(columns["operation"], pa.array(sorted(INPUT_ONLY)))),
        cut_short=inference & unfinished & _flags(pc.fill_null(columns["stream"], False)),
        exclusive=exclusive,
        detect=~_is(basis, "inclusive"),
        omits_zero=_flags(omits_zero),
        has_units=has_units,
        stated=wire.texts("usage_state"),
    )


def _how(wire: _Wire) -> dict[str, pa.Array]:
    most, resends = wire.count("max_tokens"), wire.count("resends")
    attempts = wire.pick("span:", COUNTS["attempts"], pa.int64())
    first = _numbers(wire.pick("span:", NUMBERS["first_token_s"], pa.float64()), np.nan)
    sane = np.isfinite(first) & (first >= 0) & (first < 1e9)
    return {
        "max_tokens": pa.array(most.values, mask=~(most.known & (most.values >= 0))),
        "attempts": pc.coalesce(attempts, pa.array(resends.values + 1, mask=~resends.known)),
        "temperature": wire.pick("span:", NUMBERS["temperature"], pa.float64()),
        "first_token_us": pa.array(np.rint(np.where(sane, first, 0) * 1e6).astype(np.int64), mask=~sane),
    }


def _claims(wire: _Wire, role: pa.Array) -> dict[str, pa.Array]:
    """Return what the emitter says it cost: exact from pico-dollars, else from the shortest text of the double."""
    exact = wire.count("cost_pico")
    pico, known = exact.values.copy(), exact.known & (np.abs(exact.values) < _MONEY_LIMIT_PICO)
    doubles = _numbers(wire.pick("span:", NUMBERS["cost_usd"], pa.float64()), np.nan)
    for row in np.flatnonzero(~known & (np.abs(doubles) < 1e6)):
        pico[row] = int(Decimal(repr(float(doubles[row]))).quantize(_PICO, ROUND_HALF_UP).scaleb(12))
        known[row] = True
    agent = _is(role, "agent")
    return {
        "reported_cost_usd": _money(pico, known & ~agent),
        "aggregate_cost_usd": _money(pico, known & agent),
    }


def _unpriced_reasons(columns: Mapping[str, pa.Array], has_units: npt.NDArray[np.bool_]) -> pa.Array:
    inference, agent = _is(columns["role"], "inference"), _is(columns["role"], "agent")
    state = columns["usage_state"]
    missing = inference & _is(state, "missing") & ~has_units
    metered = _known(state) | _known(columns["aggregate_cost_usd"])
    reasons = np.full(len(state), None, dtype=object)
    reasons[missing] = "no_usage"
    reasons[missing & _is(columns["status"], "error")] = "error"
    reasons[inference & _is(state, "inconsistent")] = "inconsistent"
    reasons[agent & metered] = "aggregate"
    return pa.array(reasons, pa.string())


def _units(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
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


def _money(pico: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> pa.Array:
    """Return pico-dollars as DECIMAL(18,12), without a detour through floating point."""
    words = np.stack([pico, pico >> 63], axis=1)  # little-endian 128 bits: value, then sign
    validity = pa.array(known).buffers()[1]
    return pa.Array.from_buffers(MONEY, len(pico), [validity, pa.py_buffer(np.ascontiguousarray(words))])


def _provider(name: str) -> str:
    return PROVIDERS.get(name.lower(), name.lower())


def _translate(texts: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Return `change` of every text, called once per distinct one."""
    if texts.null_count == len(texts):
        return texts
    encoded = texts.dictionary_encode()
    return pa.array([change(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _words(codes: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return the word of each code; a code that isn't in the list is the first word."""
    numbers = codes.to_numpy()
    inside = (numbers >= 0) & (numbers < len(words))
    return pa.array(words, pa.string()).take(pa.array(np.where(inside, numbers, 0)))


def _nonempty(texts: pa.Array) -> pa.Array:
    empty = pc.equal(texts, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), texts) if pc.any(empty).as_py() else texts


def _numbers(array: pa.Array, unknown: float) -> npt.NDArray[np.int64]:
    filled: npt.NDArray[np.int64] = pc.fill_null(array, unknown).to_numpy(zero_copy_only=False)
    return filled


def _known(array: pa.Array) -> npt.NDArray[np.bool_]:
    return _flags(pc.is_valid(array))


def _is(array: pa.Array, word: str) -> npt.NDArray[np.bool_]:
    return _flags(pc.fill_null(pc.equal(array, word), False))


def _flags(array: pa.Array) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = array.to_numpy(zero_copy_only=False)
    return flags
