"""LiteLLM, where it calls a provider without an SDK: Anthropic, Gemini, Bedrock, Groq, OpenRouter and most others.

What it sends through the openai SDK is seen there. All else goes through `post` of its two HTTP handlers, in the
provider's own protocol; so what LiteLLM makes of an answer, estimates included, is not asked: the answer is read as the
provider gave it, by what knows that protocol from the provider's SDK.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import _spanledger_boot as switch
from spanledger import bodies, faults, stream
from spanledger.admit import admit, admit_async
from spanledger.begin import begin_request
from spanledger.call import Call, in_flight
from spanledger.instead import Options
from spanledger.listening import Reader

from . import google_sdk
from .aws_events import AwsEvents
from .litellm_wires import Wire, read_wire
from .refused import by_litellm
from .wrapping import replace

_Arguments = dict[str, Any]
_PLAIN_BODY_BYTES: Final = 8 * 1024 * 1024
"""A longer request body is not parsed: its call is recorded without what was asked."""


def wrap(module: ModuleType) -> None:
    """Wrap the handlers of `litellm.llms.custom_httpx.http_handler`."""
    replace(module.HTTPHandler, "post", _around)
    replace(module.AsyncHTTPHandler, "post", _around_async)


class _Post:
    """One request, which may have to be sent again without what we added, or of another model."""

    __slots__ = ("_given", "_read", "_token", "address", "arguments", "call", "due", "json_data", "url")

    def __init__(self, call: Call, wire: Wire, arguments: _Arguments) -> None:
        self.call = call
        self.url = wire.path
        self.json_data: Any = wire.body
        self.address: str | None = None
        """Where it goes in place of where LiteLLM sends it."""
        self._given, self._read = arguments, wire.body
        self.arguments = arguments
        self.due = True
        if wire.may_ask:
            call.adopt(self)
        elif call.admission is not None:
            call.offer(wire.fixed or (_InPath(self) if wire.names_in_path else Options(self)))

    def _write(self) -> None:
        """Have the handler send the body as it is now, to where it goes now."""
        if self.json_data is self._read and self.address is None:
            self.arguments = self._given
            return
        changed = dict(self._given)
        if isinstance(changed.get("json"), Mapping):
            changed["json"] = self.json_data
        else:
            text = json.dumps(self.json_data)
            changed["data"] = text.encode() if isinstance(changed["data"], bytes) else text
        if self.address is not None:
            changed["url"] = self.address
        self.arguments = changed

    def sent_to(self, model: str) -> str:
        """Return the address at which another model is asked."""
        return google_sdk.with_model(self.address or str(self._given["url"]), model)

    def __enter__(self) -> None:
        self._write()
        self._token = in_flight.set(self.call)
        if self.call.admission is not None:
            self.call.admission.leaves()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        in_flight.reset(self._token)
        self.due = error is not None and self.call.withdraw(self, _Refusal(error))
        if error is not None and not self.due:
            self.call.fail(error)
        return self.due


class _InPath:
    """A request whose address names the model, as Gemini's do."""

    __slots__ = ("_post", "_written")

    def __init__(self, post: _Post) -> None:
        self._post = post
        self._written = post.json_data

    def ask_for(self, asked: str, model: str, drop: Sequence[str]) -> str | None:
        """Send it to another model's address."""
        made = google_sdk.body_instead(self._post.json_data, drop)
        if isinstance(made, str):
            return made
        self._post.json_data, self._post.address = made, self._post.sent_to(model)
        return None

    def ask_as_written(self) -> None:
        """Send it as LiteLLM wrote it."""
        self._post.json_data, self._post.address = self._written, None


class _Refusal(Exception):
    """What a server said when it refused a request, beside the status."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{error} {getattr(error, 'text', '')}")
        self.status_code = getattr(error, "status_code", None)


def _around(plain: Callable[..., Any]) -> Callable[..., Any]:
    def post(handler: Any, *args: Any, **kwargs: Any) -> Any:
        sending = _begin(args, kwargs) if switch.on else None
        if sending is None:
            return plain(handler, *args, **kwargs)
        if sending.call.admission is not None:
            admit(sending.call, by_litellm)
        response = None
        while sending.due:
            with sending:
                response = plain(handler, **sending.arguments)
        _settle(sending.call, response, asynchronous=False)
        return response

    return post


def _around_async(plain: Callable[..., Any]) -> Callable[..., Any]:
    async def post(handler: Any, *args: Any, **kwargs: Any) -> Any:
        sending = _begin(args, kwargs) if switch.on else None
        if sending is None:
            return await plain(handler, *args, **kwargs)
        if sending.call.admission is not None:
            await admit_async(sending.call, by_litellm)
        response = None
        while sending.due:
            with sending:
                response = await plain(handler, **sending.arguments)
        _settle(sending.call, response, asynchronous=True)
        return response

    return post


def _begin(args: tuple[Any, ...], kwargs: _Arguments) -> _Post | None:
    """Start a call; None where the request is none, as when LiteLLM itself reports to somebody."""
    try:
        if len(args) > 2:  # never by LiteLLM: the two handlers have their arguments in different orders
            return None
        arguments = {**dict(zip(("url", "data"), args, strict=False)), **kwargs}
        wire = read_wire(arguments, _body(arguments))
        if wire is None:
            return None
        call = begin_request(wire.sdk, lambda: wire.request)
        return None if call is None else _Post(call, wire, arguments)
    except Exception as error:
        faults.report("litellm call not recorded", error)
        return None


def _body(arguments: _Arguments) -> Mapping[str, Any]:
    for sent in (arguments.get("json"), arguments.get("data")):
        if isinstance(sent, Mapping):
            return sent
        if isinstance(sent, str | bytes) and len(sent) <= _PLAIN_BODY_BYTES:
            try:
                parsed = json.loads(sent)
            except ValueError:
                return {}
            return parsed if isinstance(parsed, dict) else {}
    return {}


def _settle(call: Call, response: Any, *, asynchronous: bool) -> None:
    """Read an answer that is there, or watch one that LiteLLM will read; the answer stays as it is."""
    try:
        if hasattr(response, "_content"):
            if call.stream:
                bodies.read_events(call, response.content)
            else:
                bodies.read_json(call, response.content)
            return
        stream.watch_raw(response, call, asynchronous=asynchronous, reader=_reader(call, response, asynchronous))
    except Exception as error:
        faults.report("response recorded without its usage", error)
        call.finish()


def _reader(call: Call, response: Any, asynchronous: bool) -> Reader | None:
    if str(response.headers.get("content-type", "")).startswith("application/vnd.amazon.eventstream"):
        return AwsEvents(call)
    if call.stream and not asynchronous:
        # LiteLLM reads Anthropic's streams up to the reason why they stop, and keeps the rest open for long.
        return bodies.Events(call, b"event: message_delta")
    return None
