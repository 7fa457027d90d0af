"""Steps of an application that are kept by their arguments: the partial cache, `spanledger.cached_step`.

A result is kept as JSON and given again as what JSON makes of it, so only results that come back as they were are kept;
anything else is returned and not kept. The first run is a step in the ledger, with the calls it makes below it; each
time after that is a step that says what those calls had cost.
"""

from __future__ import annotations

import functools
import hmac
import inspect
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar, cast, overload

import _spanledger_boot as switch
from spanledger import faults, ledger, names, spans, tagging
from spanledger.deployment_key import deployment_key
from spanledger.errors import SettingError
from spanledger.guard.durations import EXPECTED, read_ms
from spanledger.record import Record
from spanledger.settings import load

from .answers import Answers, Bound
from .entry import MOST_BYTES, Entry
from .key import namespace_key
from .opening import open_answers
from .plain import argument, code_digest, is_plain
from .rule import NAMESPACE
from .seek import Seek
from .tally import Tally

Function = TypeVar("Function", bound=Callable[..., Any])
ENTRIES: Final = 100_000
_WAIT_S: Final = 60.0
"""How long one waits for the same step that is under way: a step may be several calls."""


class _Opened(NamedTuple):
    """What a run of the ledger's thread has."""

    worker: ledger.Worker
    answers: Answers
    secret: bytes


_opened: _Opened | None = None


@overload
def cached_step(function: Function, /) -> Function: ...
@overload
def cached_step(
    *, ttl: str = ..., namespace: Sequence[str] = ..., version: str = ..., max_mb: int = ...
) -> Callable[[Function], Function]: ...
def cached_step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    ttl: str = "1h",
    namespace: Sequence[str] = NAMESPACE,
    version: str = "",
    max_mb: int = 64,
) -> Any:
    """Keep what a function, or a coroutine function, returns for its arguments, and count what that saves.

    Arguments and result have to be what JSON can hold: text, numbers, None, lists, dictionaries by text (and tuples as
    arguments); with others the function simply runs. While it runs, the same call of another thread or task waits for
    its result. Calls share results if their tags named in `namespace` are the same. Results are in a file of the home
    folder, or in the policy's Redis, for `ttl` ("30m", "1h", "7d"); beyond `max_mb` the least used ones are thrown
    out. They are forgotten when the function's own code or `version` changes. Does nothing while switched off.

    Raises:
        SettingError: `ttl` is no length of time.
        TypeError: the function is a generator.
    """
    ttl_ms = read_ms(ttl)
    if not ttl_ms:
        raise SettingError("cached_step(ttl)", ttl, EXPECTED)
    made = functools.partial(_decorate, ttl_ms=ttl_ms, namespace=tuple(namespace), version=version, size=max_mb << 20)
    return made if function is None else made(function)


def _decorate(function: Function, *, ttl_ms: int, namespace: tuple[str, ...], version: str, size: int) -> Function:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("cached_step: a generator has no result to keep; return a list")
    plan = _Plan(function, ttl_ms, namespace, version, size)
    within = _coroutine(plan) if inspect.iscoroutinefunction(function) else _plain(plan)
    return cast(Function, functools.wraps(function)(within))


class _Plan:
    """A decorated function."""

    def __init__(
        self, function: Callable[..., Any], ttl_ms: int, namespace: tuple[str, ...], version: str, size: int
    ) -> None:
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)
        self._module = getattr(function, "__module__", "")
        self._signature = inspect.signature(function)
        self._ttl_ms = ttl_ms
        self._namespace = namespace
        self._version = version
        self._code = code_digest(function)
        self._bound = Bound(f"step {self._module}.{self.name}", size, ENTRIES)

    def visit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Visit | None:
        """Return the call with these arguments; None where it simply runs."""
        if not switch.on:
            return None
        try:
            opened = _open()
            if opened is None:
                return None
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = {name: argument(value) for name, value in bound.arguments.items()}
            what = [self._module, self.name, self._version, self._code, given]
            tags = tagging.current.get()
            values = tuple(tags.get(tagging.KNOWN.get(key) or names.TAG_PREFIX + key) for key in self._namespace)
            secret = namespace_key(opened.secret, self._bound.rule, values)
            key = hmac.digest(secret, json.dumps(what, sort_keys=True).encode(), "sha256")
        except TypeError as error:
            faults.report(f"cached_step {self.name} runs each time", error, expected=True)
            return None
        except Exception as error:
            faults.report(f"cached_step {self.name} runs each time", error)
            return None
        seek = Seek(opened.answers, key, self._bound, ttl_ms=self._ttl_ms, max_age_ms=self._ttl_ms, waits_s=_WAIT_S)
        return _Visit(self.name, seek, opened.answers)


class _Visit:
    """One call of a decorated function."""

    def __init__(self, name: str, seek: Seek, answers: Answers) -> None:
        self.name = name
        self.seek = seek
        self._answers = answers
        self._start = spans.OpenSpan(name, {**tagging.current.get()})

    def give(self, entry: Entry) -> Any:
        """Return a kept result, and record that it was given."""
        result = json.loads(entry.body)
        self._start.attributes |= {names.CACHE_HIT: True, names.GUARD_POLICY: self.name}
        ledger.add(_Given(self._start.record(None), self._answers, self.seek.key))
        return result

    def count(self) -> Tally | None:
        """Begin to sum up what the calls of the open step cost."""
        step = spans.current.get()
        if step is None or step.name != self.name:
            return None
        step.tally = Tally(step.tally)
        return step.tally

    def end(self, result: object, tally: Tally | None) -> None:
        """Keep a result that comes back as it is."""
        entry = None
        try:
            if is_plain(result):
                body = json.dumps(result, separators=(",", ":")).encode("utf-8", "surrogatepass")
                entry = Entry(body, {}, time.time_ns() // 1_000_000) if len(body) <= MOST_BYTES else None
            else:
                told = f"its result of {type(result).__qualname__} holds more than JSON gives back as it is"
                faults.report(f"cached_step {self.name} runs each time", told, expected=True)
        except Exception as error:
            faults.report(f"cached_step {self.name} runs each time", error)
        self.seek.end(entry)
        if entry is not None and tally is not None:
            tally.keep(self._answers, self.seek.key)


class _Given:
    """A step that was not run; what it saved is looked up on the ledger's thread, which knows costs first."""

    def __init__(self, record: Record, answers: Answers, key: bytes) -> None:
        self._record = record
        self._answers = answers
        self._key = key

    def record(self) -> Record:
        """Say what was saved, as far as that is known."""
        kept = self._answers.get(self._key, time.time_ns() // 1_000_000)
        if kept is not None and kept.avoids is not None:
            self._record.attributes[names.AVOIDED_PICO_USD] = kept.avoids
        return self._record


def _plain(plan: _Plan) -> Callable[..., Any]:
    def within(*args: Any, **kwargs: Any) -> Any:
        visit = plan.visit(args, kwargs)
        if visit is None:
            return plan.function(*args, **kwargs)
        entry = visit.seek.find()
        if entry is not None:
            return visit.give(entry)
        try:
            with spans.span(plan.name, kind="step"):
                tally = visit.count()
                result = plan.function(*args, **kwargs)
        except BaseException:
            visit.seek.end(None)
            raise
        visit.end(result, tally)
        return result

    return within


def _coroutine(plan: _Plan) -> Callable[..., Any]:
    async def within(*args: Any, **kwargs: Any) -> Any:
        visit = plan.visit(args, kwargs)
        if visit is None:
            return await plan.function(*args, **kwargs)
        entry = await visit.seek.find_async()
        if entry is not None:
            return visit.give(entry)
        try:
            with spans.span(plan.name, kind="step"):
                tally = visit.count()
                result = await plan.function(*args, **kwargs)
        except BaseException:
            visit.seek.end(None)
            raise
        visit.end(result, tally)
        return result

    return within


def _open() -> _Opened | None:
    """Return where results are kept, as the settings in force have it."""
    global _opened
    worker = ledger.start()
    if worker is None:
        return None
    opened = _opened
    if opened is None or opened.worker is not worker:
        if opened is not None:
            opened.answers.close()
        settings = load()
        store = worker.gate.policy.store if worker.gate is not None else "memory"
        opened = _opened = _Opened(worker, open_answers(store, settings), deployment_key(settings).secret)
    return opened
