"""One LLM call, from the request to the record: the lifecycle that every SDK and both colours share.

The application's thread does as little as it can: it reads the request, lets the SDK do its work, reads the
response and hands a record over. The SDK's own objects and exceptions go through untouched, and whatever goes wrong
in here costs the record, never the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Literal

from . import faults, later, ledger, names, spans, tagging
from .attempts import attempt_event, billed, count_uncertain
from .attributes import Facts, response_attributes, usage_attributes
from .evidence import OPERATIONS, Evidence
from .instead import Changeable, Options, refuses
from .record import (
    Attributes,
    AttributeValue,
    Event,
    Metered,
    Record,
    error_text,
    error_type,
    lose,
    place_below,
)
from .sdk import Request, Sdk
from .texts import answer_texts, asked_texts
from .usage import Usage

if TYPE_CHECKING:
    from .content import Content
    from .errors import Refusal
    from .guard.admission import Admission
    from .guard.cache.lookup import Search
    from .guard.gate import Gate
    from .guard.refusals import Dress

in_flight: ContextVar[Call | None] = ContextVar("spanledger_call", default=None)
"""The call whose HTTP attempts are being made."""

_open: set[Call] = set()
"""Calls whose streams are being read."""


class Call:
    """A call under way; finished exactly once, by whichever end comes first."""

    __slots__ = (
        "_answer",
        "_attributes",
        "_body_without_usage",
        "_content",
        "_done",
        "_end_ns",
        "_endpoint",
        "_error",
        "_events",
        "_evidence",
        "_failed",
        "_fingerprints",
        "_first_ns",
        "_last_ns",
        "_lessons",
        "_model",
        "_noted",
        "_origin_ns",
        "_pico",
        "_piece",
        "_place",
        "_provider",
        "_sdk",
        "_server",
        "_start_ns",
        "_tags",
        "_take",
        "_tally",
        "_uncertain",
        "_usage_told",
        "admission",
        "answered",
        "attempt_ns",
        "attempts",
        "changed",
        "facts",
        "hears_all",
        "inside",
        "search",
        "stream",
    )

    def __init__(self, sdk: Sdk, request: Request, worker: ledger.Worker) -> None:
        self._sdk = sdk
        self._endpoint = request.endpoint
        self._content: Content | None = None
        if ledger.listen is not None:
            self._content, self._endpoint = ledger.listen(sdk, request)
        self._model = request.model
        outer = spans.current.get()
        self._place = place_below(outer.place if outer is not None else None)
        self._tally = outer.tally if outer is not None else None
        self._server, provider = request.server, request.provider
        if provider is None:
            address, port = request.server.get(names.SERVER_ADDRESS), request.server.get(names.SERVER_PORT)
            provider = worker.known_hosts.get((sdk.provider, address, port, request.client))
            provider = provider or sdk.provider_at(address, port, request.client)
        self._provider = provider
        self._lessons = worker.lessons
        self._tags = tagging.current.get()
        self._attributes: Attributes = sdk.request_attributes(request.body)
        self._fingerprints = worker.fingerprints.read(request) if worker.fingerprints is not None else None
        self._end_ns = 0
        self._error: str | None = None
        self._events: tuple[Event, ...] = ()
        self._first_ns = 0
        """Of the process's clock, as `_last_ns`; 0 before the first event."""
        self._last_ns = 0
        self._piece = self._endpoint.piece
        self._take: Callable[[str], None] | None = None
        """Takes a piece of text of a stream; None before the event that says whose it is."""
        self._done = False
        self._noted = False
        self._body_without_usage: object = None
        self.facts = Facts(asked=request.body, region=request.region)
        self.answered = False
        """The provider has taken the request on: an answer has begun."""
        self.hears_all = True
        """Every piece of the answer passes here."""
        self._answer: object = None
        self._evidence: Evidence | None = None
        self._uncertain = 0
        """Failed attempts that may have been billed."""
        self.attempts: int | None = None
        self.attempt_ns = 0
        """When the last attempt began, by the process's clock."""
        self._failed: tuple[Event, ...] = ()
        """Attempts that the SDK made another one after."""
        self.stream = request.stream
        self.inside = False
        """The application is waiting for the next event; its outcome, not a close, ends the call."""
        self._start_ns = time_ns()
        self._origin_ns = perf_counter_ns()
        """The start by the process's clock, which nobody sets back."""
        self._usage_told: Usage | None = None
        self._pico: int | None = None
        self.changed: Changeable | None = None
        """The request, where it asks for another model than the application named."""
        self.admission: Admission | None = None
        """What the call has to pass before it is sent; None where no rule is about it."""
        self.search: Search | None = None
        """Where its answer is looked for before it is sent, and kept after it; None where no rule is about that."""
        if worker.gate is not None:
            self.admission = worker.gate.admission(request, provider, self._tags, self._place, self._attributes)

    def offer(self, request: Changeable | str) -> None:
        """Let rules ask for another model in the request; text says why they can't."""
        if self.admission is not None:
            self.admission.rewrite = request if isinstance(request, str) else partial(self._change, request)

    def _change(self, request: Changeable, model: str, drop: Sequence[str]) -> str | None:
        """Have the request ask for another model; return why it can't, or None."""
        try:
            why = request.ask_for(self._model, model, drop)
        except Exception as error:
            faults.report("no model stands in for the one that is asked for", error)
            return "the request can't be read"
        if why is None:
            self._model, self.changed = model, request
        return why

    def take_back(self, error: BaseException) -> bool:
        """Go back to the model that was named, if the provider refused the request for another one; True if it did.

        That one may not take all that was asked of the first, or not be there for this customer; the application must
        not pay for it.
        """
        changed, admission = self.changed, self.admission
        if changed is None or admission is None or not isinstance(error, Exception):
            return False
        try:
            if not refuses(self._provider, self._sdk.failure(error).status):
                return False
            changed.ask_as_written()
            self.changed = None
            admission.take_back()
            self._model = admission.model
        except Exception as fault:
            faults.report("refused request not made again as it was written", fault)
            return False
        return True

    def adopt(self, options: Any) -> None:
        """Have the request of an SDK with `FinalRequestOptions` tell what only it can tell."""
        if self.admission is not None:
            self.offer(Options(options))
        parser = getattr(options, "post_parser", None)
        if callable(parser) and not self.stream:
            # What does not parse into the application's own type was paid for all the same.
            options.post_parser = partial(self._note_then_parse, parser)
        if self.stream and isinstance(options.json_data, Mapping):
            asking = self._sdk.ask_for_usage(options.url, options.json_data, getattr(options, "extra_json", None))
            if asking is not None:
                self._body_without_usage = options.json_data
                options.json_data = asking

    def look_up(self, gate: Gate, client: Any, options: Any) -> None:
        """Find out whether the call may be answered from the cache."""
        if gate.cache is not None:
            values = gate.values(self._tags, self._provider, self._model)
            self.search = gate.cache.search(values, self._endpoint, client, options, stream=self.stream)

    def forget_answer(self) -> None:
        """Begin anew with what is heard: what was kept could not be given, and the call is made."""
        self._noted = False
        self.facts = Facts(asked=self.facts.asked, region=self.facts.region)

    def leaves(self) -> None:
        """Note that an attempt is about to be sent."""
        self.attempts = (self.attempts or 0) + 1
        if self.admission is not None:
            self.admission.leaves()

    def refuse(self, refusal: Refusal, dress: Dress | None = None) -> BaseException:
        """Finish without having been sent, because of a rule; return what the application gets.

        `dress` makes that where it isn't the error of the SDK whose protocol is spoken.
        """
        self._error = f"{type(refusal).__qualname__} {refusal.policy}"
        self._attributes[names.ERROR_TYPE] = error_type(refusal)
        self.finish()
        return (dress or self._sdk.refusal)(refusal)

    @property
    def host(self) -> AttributeValue | None:
        """The host that is called."""
        return self._server.get(names.SERVER_ADDRESS)

    @property
    def answers_in(self) -> Literal["json", "text", "bytes"]:
        """What a body may be besides JSON."""
        return self._endpoint.answers_in

    @property
    def hides_usage(self) -> bool:
        """Whether the application must not see the event that reports usage, because we asked for it."""
        return self._body_without_usage is not None

    def withdraw(self, options: Any, error: BaseException) -> bool:
        """Take what is ours out of a request that a server refused because of it; True if there was something.

        Servers that only resemble OpenAI's may not know `stream_options`.
        """
        return self.take_back(error) or self._withdraw_usage(options, error)

    def _withdraw_usage(self, options: Any, error: BaseException) -> bool:
        if self._body_without_usage is None or getattr(error, "status_code", None) not in (400, 422):
            return False
        try:
            if "stream_options" not in str(error) and "include_usage" not in str(error):
                return False
            options.json_data = self._body_without_usage
        except Exception as fault:
            faults.report("request not sent again without our addition", fault)
            return False
        self._body_without_usage = None
        return True

    def read(self, body: object) -> None:
        """Read a whole response and finish."""
        self._note(body)
        self.finish()

    def _note(self, body: object) -> None:
        try:
            if not self._noted:
                self._noted = True
                self._answer = body
                self._endpoint.read(self.facts, body)
        except Exception as error:
            faults.report(f"{self._sdk.provider} response recorded without its usage", error)

    def _note_then_parse(self, parser: Callable[[object], object], body: object) -> object:
        self._note(body)
        return parser(body)

    def hear(self, event: object) -> bool:
        """Read one event of a stream; False if the application must not see it."""
        try:
            self._last_ns = perf_counter_ns()
            if self._take is not None:
                piece = self._piece(event)
                if piece is not None:
                    self._take(piece)
                    return True
            if self._first_ns == 0:
                self._first_ns = self._last_ns
            facts = self.facts
            self._endpoint.hear(facts, event)
            if facts.heard is not None and facts.response_id is not None:
                self._take = facts.heard.append
            if facts.error_type is not None:
                # Told in an event, so the application may hold the stream for long, but nothing comes after it.
                self.finish()
            return self._body_without_usage is None or not self._sdk.is_usage_only(event)
        except Exception as error:
            faults.report(f"{self._sdk.provider} stream event not understood", error)
            return True

    def leave(self, error: BaseException) -> None:
        """End because of what came instead of the next event: its end, or an exception."""
        self.inside = False
        if isinstance(error, StopIteration | StopAsyncIteration):
            self.finish()
        else:
            self.fail(error)

    def retry(self, response: Any, error: BaseException | None) -> None:
        """Note that the SDK will make another attempt, because of a response or else of an exception."""
        try:
            self._failed += (self._attempt(response=response, error=error),)
        except Exception as fault:
            faults.report("attempt not recorded", fault)

    def _attempt(self, *, response: Any = None, error: BaseException | None = None, answered: bool = False) -> Event:
        now_ns, began_ns = perf_counter_ns(), self.attempt_ns or self._origin_ns
        return attempt_event(
            self.attempts or 1,
            self._start_ns + began_ns - self._origin_ns,
            now_ns - began_ns,
            provider=self._provider,
            response=response,
            error=error,
            status=None if error is None else self._sdk.failure(error).status,
            answered=answered,
        )

    def _attempts(self, error: BaseException | None) -> tuple[Event, ...]:
        """Describe the attempts; a single good one needs no description."""
        if self.attempts is None:
            return ()
        answered = error is None or self.facts.complete
        response = None if answered else getattr(error, "response", None)
        return (*self._failed, self._attempt(response=response, error=error, answered=answered))

    def fail(self, error: BaseException) -> None:
        """Finish with the exception that the application gets."""
        self.finish(error)

    def closed(self) -> None:
        """Finish because the application closed the stream."""
        if not self.inside:
            self.finish()

    def remember(self) -> None:
        """Have the call finished at exit at the latest, should its stream still be held then."""
        self.answered = True
        if not self._done:
            _open.add(self)

    def abandoned(self) -> None:
        """Finish because nobody holds the stream any more; it ended with its last event, not now."""
        self.finish(abandoned=True)

    def finish(self, error: BaseException | None = None, *, abandoned: bool = False) -> None:
        """Hand the call over to the ledger's thread, which makes a record of it; later calls do nothing."""
        if self._done:
            return
        self._done = True
        _open.discard(self)
        if self.search is not None:
            self.search.end(self.facts, failed=error is not None, finishing=abandoned)
        try:
            end_ns = self._last_ns if abandoned and self._last_ns else perf_counter_ns()
            self._end_ns = self._start_ns + end_ns - self._origin_ns
            if error is not None or self._failed:
                self._events = self._attempts(error)
            if error is not None:
                self._fail(error)
            if self._body_without_usage is not None:
                self._body_without_usage = True  # a closed stream can still be read, as far as its bytes have come
            self._gather()
            if self.admission is not None:
                self._pass_out(error, abandoned=abandoned)
                self.admission.forget_request()
            # What may be large, and the application may change, stays with it.
            self._answer = self._take = self.changed = None
            self.facts.asked, self.facts.heard = {}, None
            ledger.add(self)
            if self._endpoint.paid_later:
                later.submitted(self._sdk, self._endpoint, self._asked(), self.facts)
            if ledger.flushes_calls and not abandoned and spans.current.get() is None:
                ledger.settle()
        except Exception as fault:
            faults.report("call lost from the ledger", fault)
            lose(self)

    def _pass_out(self, error: BaseException | None, *, abandoned: bool) -> None:
        """Settle with what was told; what has to be counted first is settled by the ledger's thread.

        So is what a finaliser ends, which must not wait for the lock that its own thread may hold.
        """
        admission = self.admission
        if admission is None or abandoned:
            return
        if self.facts.complete:
            usage = self._usage()
            metered = self._metered(usage)
            self._pico = admission.price(metered, self._start_ns) if metered is not None else None
            admission.end(usage, self._pico, billed=True)
        elif self._endpoint.paid_later:
            admission.end(None, None, billed=False)
        elif error is not None and not self._was_answered():
            status = self._sdk.failure(error).status
            unsure = self._uncertain > 0 or (self.attempts is None and billed(self._provider, status, error) != "no")
            admission.end(None, None, billed=unsure)

    def _fail(self, error: BaseException) -> None:
        self._attributes[names.ERROR_TYPE] = error_type(error)
        told = self._sdk.failure(error)
        if told.status is not None:
            self._attributes[names.HTTP_STATUS] = told.status
        if not self._first_ns and getattr(error, "body", None) is not None:
            self.answered = False  # refused in the first event of a stream, which nobody bills
        self._error = error_text(error, told)

    def _gather(self) -> None:
        """Keep what tokens that nobody counted can be estimated from; of counted calls, a few to learn from."""
        facts = self.facts
        if self._endpoint.operation not in OPERATIONS:
            return
        answered = facts.complete or self._was_answered()
        if self._events:
            self._uncertain = count_uncertain(self._events, answered=answered)
        if facts.complete:
            wanted = self.hears_all and self._lessons.wants(self._provider, self._model)
        else:
            wanted = (self.hears_all and answered) or self._uncertain > 0
        if wanted:
            heard = facts.heard or answer_texts(self._answer)
            self._evidence = Evidence(asked_texts(facts.asked), tuple(heard), answered)

    def _was_answered(self) -> bool:
        """Tell whether there is something to be billed: a stream begun, or an answer that can be understood."""
        facts = self.facts
        if facts.counts or facts.usage is not None or facts.heard:
            return True
        if facts.error_type is not None:
            return False
        if self._noted:
            return facts.response_model is not None or bool(answer_texts(self._answer))
        return self.answered or self._first_ns > 0

    def _asked(self) -> Attributes:
        """Say what was asked for, by whom and what for."""
        attributes: Attributes = {
            names.OPERATION: self._endpoint.operation,
            names.PROVIDER: self._provider,
            **self._server,
            **self._attributes,
            **self._tags,
        }
        if self._model:
            attributes[names.REQUEST_MODEL] = self._model
        if self.stream:
            attributes[names.STREAM] = True
        if self._fingerprints is not None:
            attributes.update(self._fingerprints())
        return attributes

    def record(self) -> Record:
        """Say all that is known of the finished call; on the ledger's thread, where nobody waits."""
        facts, usage = self.facts, self._usage()
        attributes = self._asked()
        attributes.update(response_attributes(facts))
        if not self._endpoint.free:
            attributes.update(usage_attributes(usage))
            if usage.state == "estimated":
                attributes[names.USAGE_METHOD] = "request" if facts.units else "reported_partial"
        if self._first_ns:
            attributes[names.FIRST_CHUNK_S] = (self._first_ns - self._origin_ns) / 1e9
        if self.attempts is not None:
            attributes[names.ATTEMPTS] = self.attempts
        if not self._place.parent_sampled:
            attributes[names.PARENT_SAMPLED] = False
        if self._error is None and facts.error_type is not None:
            attributes[names.ERROR_TYPE] = facts.error_type
        if self.admission is not None:
            attributes.update(self.admission.attributes(usage, self._pico, self._start_ns))
        if self.search is not None:
            self.search.describe(attributes)
        return Record(
            name=f"{self._endpoint.operation} {self._model}".rstrip(),
            kind="client",
            place=self._place,
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            attributes=attributes,
            error=self._error or facts.error_type,
            events=self._events,
            metered=self._metered(usage),
            content=self._content,
            admission=self.admission,
            tally=self._tally,
        )

    def _usage(self) -> Usage:
        if self._usage_told is None:
            try:
                self._usage_told = self._endpoint.total(self.facts)
            except Exception as error:
                faults.report(f"{self._sdk.provider} response recorded without its usage", error)
                self._usage_told = Usage(state="missing")
        return self._usage_told

    def _metered(self, usage: Usage) -> Metered | None:
        facts = self.facts
        stated = self._sdk.stated(self._provider, facts.usage)
        unpriced = usage.state == "inconsistent" or (usage.state == "missing" and self._evidence is None)
        if unpriced and stated is None:
            return None
        return Metered(
            provider=self._provider,
            model=facts.response_model or self._model,
            request_model=self._model,
            usage=usage,
            service_tier=facts.service_tier,
            speed=facts.speed,
            region=facts.region,
            stated_pico=stated,
            evidence=self._evidence,
            uncertain_attempts=self._uncertain,
            served=self.search is not None and self.search.is_hit,
        )


def open_streams() -> int:
    """Return how many streams are being read."""
    return len(_open)


def _finish_open() -> None:
    for call in list(_open):
        call.abandoned()


def _disown_open() -> None:
    """Leave the streams that were open when this process forked to the parent, which reads them to their end."""
    for call in _open:
        call._done = True
    _open.clear()


ledger.before_exit(_finish_open)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_open)
