"""What is under way on a websocket of the openai SDK: one call a response; of the Live API, one a session.

No request stands behind a response here: the server may start one by itself when it hears that the user has finished
speaking. So a call begins with `response.create` if the application sends one, else with `response.created`, and ends
with the event that reports its usage. An event that neither starts nor ends one costs a look into a table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from spanledger import names
from spanledger.admit import admit
from spanledger.attributes import Facts
from spanledger.begin import begin_request
from spanledger.call import Call
from spanledger.record import Attributes
from spanledger.sdk import Endpoint, Request

from .fields import get, snapshot, text
from .openai_media import MEDIA_ENDPOINTS
from .openai_sdk import SDK
from .openai_usage import tally_realtime, token_usage

_CLEAN_CLOSES: Final = frozenset({None, 1000, 1001})
_MOST_WAITING: Final = 1000
"""Responses of one connection that may be asked for, or made, at a time; there is no reason for more than a few."""


def _read_nothing(facts: Facts, body: object) -> None:
    """There is no body but the events."""


def _hear_realtime(facts: Facts, event: object) -> None:
    response = get(event, "response")
    if response is None:
        return
    facts.response_id = text(response, "id") or facts.response_id
    usage, status = get(response, "usage"), text(response, "status")
    if usage is not None:
        facts.usage = snapshot(usage)
        facts.complete = True
    if status is not None and status != "in_progress":
        details = get(response, "status_details")
        facts.finish_reasons = [text(details, "reason") or status]
        if status == "failed":
            facts.error_type = text(get(details, "error"), "code") or "failed"


def _hear_session(facts: Facts, event: object) -> None:
    seconds = get(get(event, "usage"), "seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        # By way of text, so that 0.1 means a tenth.
        facts.units["seconds"] = Decimal(str(seconds))
    facts.response_id = text(get(event, "session"), "id") or facts.response_id
    if text(event, "type") == "session.closed":
        facts.finish_reasons = [text(event, "reason") or "closed"]
        facts.complete = True


_SESSION: Final = Endpoint("chat", _read_nothing, _hear_session, token_usage)
_REALTIME: Final = Endpoint("chat", _read_nothing, _hear_realtime, token_usage, tally_realtime)
_RESPONSES: Final = SDK.endpoints["/responses"]
_TRANSCRIPTION: Final = MEDIA_ENDPOINTS["/audio/transcriptions"]


class Connection:
    """What is under way on one connection."""

    def __init__(self, connection: object) -> None:
        name = type(connection).__name__
        self._endpoint = _REALTIME if "Realtime" in name else _RESPONSES
        self._asks = "Live" not in name
        self._session: Call | None = None
        self._server, self._model = _read_handshake(getattr(connection, "_connection", None))
        self._answers = ""
        """The model of the session, as the server names it."""
        self._transcriber = ""
        self._asked: deque[tuple[Call, str | None]] = deque(maxlen=_MOST_WAITING)
        """Calls that the server has not taken up, with the id of the event that asks."""
        self._made: dict[str | None, Call] = {}
        """Calls that it has, by the id of the response."""
        self._silent: dict[str | None, Call] = {}
        """Those of them of which no part has come."""

    def say(self, event: object) -> None:
        """Take an event that the application sends."""
        if get(event, "type") != "response.create" or not self._asks:
            return
        body = event if self._endpoint is _RESPONSES else get(event, "response")
        call = self._begin(_fields_of(body))
        if call is not None and call.admission is not None:
            admit(call, waits=False)
            call.admission.leaves()
        if call is not None:
            self._asked.append((call, text(event, "event_id")))

    def hear(self, event: object) -> None:
        """Take an event that the server sent."""
        kind = get(event, "type")
        step = _STEPS.get(kind)
        if step is not None:
            step(self, event)
        elif self._silent and kind.startswith("response.") and kind.endswith(".delta"):
            self._first_part(event)

    def begun(self, event: object) -> None:
        """Note that the server makes a response."""
        made = get(event, "response")
        response_id = text(made, "id")
        call = self._asked.popleft()[0] if self._asked else self._begin({"model": text(made, "model")})
        if call is not None and len(self._made) < _MOST_WAITING:
            self._made[response_id] = self._silent[response_id] = call

    def _first_part(self, event: object) -> None:
        response_id = text(event, "response_id")
        if response_id is None and len(self._silent) == 1:
            response_id = next(iter(self._silent))
        call = self._silent.pop(response_id, None)
        if call is not None:
            call.hear(event)

    def over(self, event: object) -> None:
        """End a call with the response as it is now, usage and all."""
        response_id = text(get(event, "response"), "id")
        call = self._made.pop(response_id, None)
        if call is None:
            call = self._asked.popleft()[0] if self._asked else self._begin({})
        self._silent.pop(response_id, None)
        if call is not None:
            if self._answers:
                call.facts.response_model = self._answers
            call.hear(event)
            call.finish()

    def refused(self, event: object) -> None:
        """End the call that an error is about, where it is about one."""
        error = get(event, "error") or event
        about = text(error, "event_id")
        if self._asked and about in (None, self._asked[0][1]):
            call = self._asked.popleft()[0]
        elif self._endpoint is _RESPONSES and len(self._made) == 1:
            _, call = self._made.popitem()
            self._silent.clear()
        else:
            return
        call.facts.error_type = text(error, "code") or text(error, "type") or "error"
        call.finish()

    def set_up(self, event: object) -> None:
        """Note the models of the session."""
        session = get(event, "session")
        self._answers = text(session, "model") or self._answers
        heard = get(get(get(session, "audio"), "input"), "transcription") or get(session, "input_audio_transcription")
        self._transcriber = text(heard, "model") or self._transcriber

    def session_started(self, event: object) -> None:
        """Begin the call that a session of the Live API is, which is charged by the second."""
        self.set_up(event)
        self._session = self._begin({"model": self._answers}, _SESSION)

    def session_used(self, event: object) -> None:
        """Note how long the session has been so far."""
        if self._session is not None:
            _hear_session(self._session.facts, event)

    def session_closed(self, event: object) -> None:
        """End the call that the session is."""
        if self._session is not None:
            _hear_session(self._session.facts, event)
            self._session.finish()

    def delegated(self, event: object) -> None:
        """Take an event of a response that the session had another model make."""
        inner = get(event, "event")
        kind = get(inner, "type")
        if isinstance(kind, str) and kind.startswith("response.") and kind != "response.event":
            self.hear(inner)

    def transcribed(self, event: object) -> None:
        """Record the transcription of what the user said: another model's work, with a price of its own."""
        request = Request(_TRANSCRIPTION, self._transcriber, {}, self._server, stream=False)
        call = begin_request(SDK, lambda: request)
        if call is not None:
            call.read(event)

    def end(self, close_code: int | None = None) -> None:
        """End what is still open with what is known; a code that is not of a clean close is its failure."""
        left = [call for call, _ in self._asked] + list(self._made.values())
        if self._session is not None:
            left.append(self._session)
        self._asked.clear()
        self._made.clear()
        self._silent.clear()
        for call in left:
            if close_code not in _CLEAN_CLOSES:
                call.facts.error_type = f"websocket_{close_code}"
            call.closed()

    def _begin(self, body: Mapping[str, Any], endpoint: Endpoint | None = None) -> Call | None:
        asked = body.get("model")
        model = asked if isinstance(asked, str) else self._model or self._answers
        request = Request(endpoint or self._endpoint, model, body, self._server, stream=True)
        call = begin_request(SDK, lambda: request)
        if call is not None:
            call.remember()
            call.hears_all = False
        return call


_STEPS: Final[Mapping[Any, Callable[[Connection, object], None]]] = {
    "conversation.item.input_audio_transcription.completed": Connection.transcribed,
    "error": Connection.refused,
    "response.completed": Connection.over,
    "response.created": Connection.begun,
    "response.done": Connection.over,
    "response.event": Connection.delegated,
    "response.failed": Connection.over,
    "response.incomplete": Connection.over,
    "session.closed": Connection.session_closed,
    "session.created": Connection.set_up,
    "session.started": Connection.session_started,
    "session.updated": Connection.set_up,
    "session.usage.updated": Connection.session_used,
    "transcription_session.updated": Connection.set_up,
}


def _fields_of(body: object) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    fields = getattr(body, "__dict__", None)
    return fields if isinstance(fields, dict) else {}


def _read_handshake(socket: Any) -> tuple[Attributes, str]:
    """Read the host, and the model where the address names one, from the request that opened the connection."""
    request = getattr(socket, "request", None)
    if request is None:
        return {}, ""
    host = urlsplit(f"//{request.headers.get('Host', '')}")
    server: Attributes = {}
    if host.hostname:
        server[names.SERVER_ADDRESS] = host.hostname
        if host.port not in (None, 443):
            server[names.SERVER_PORT] = host.port or 0
    asked = parse_qs(urlsplit(request.path).query)
    return server, next(iter(asked.get("model") or asked.get("deployment") or ()), "")
