"""The openai SDK's answers that are charged after the call that asked for them: batches, and background responses.

Nothing says that a file is a batch's output, so each line is asked: one with a `custom_id` and an answer with usage is
a result. `GET /responses/{id}` is no call, but where the response was made in the background it is the first sight of
its usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from spanledger import bodies, later, ledger, results, stream
from spanledger.listening import Bystander
from spanledger.sdk import Endpoint, Sdk

from .fields import get, text

_MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_KINDS: Final = {
    "chat.completion": "/chat/completions",
    "list": "/embeddings",
    "response": "/responses",
    "text_completion": "/completions",
}
"""`object` of an answer to the path of the call that makes such."""
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def make_look_back(sdk: Callable[[], Sdk]) -> Callable[[Any, Any, Any, bool], None]:
    """Return what looks at requests that are no calls, for an SDK that is made after it."""

    def look_back(client: Any, options: Any, result: Any, asynchronous: bool) -> None:
        match [options.method.lower(), *options.url.partition("?")[0].strip("/").split("/")]:
            case ["get", "files", file_id, "content"]:
                _read_file(sdk(), client, file_id, result, asynchronous)
            case ["get", "batches", *_]:
                for batch in get(result, "data") or (result,):
                    later.note_batch(batch, "output_file_id")
            case ["get", "responses", _] | ["post", "responses", _, "cancel"]:
                _read_response(sdk(), client, result, asynchronous)

    return look_back


def _read_file(sdk: Sdk, client: Any, file_id: str, result: Any, asynchronous: bool) -> None:
    response = get(result, "http_response") or getattr(result, "http_response", None) or get(result, "response")
    if response is None:
        return  # the application asked for a type of its own
    batch = later.batches.get(file_id) or later.Batch()
    reading = later.reading(sdk, client, batch=batch)
    find = _finder(sdk, file_id)
    if not hasattr(response, "_content"):
        nobody = Bystander(lambda _: None, stream=False)
        stream.tap(response, nobody, results.Lines(reading, find), asynchronous=asynchronous)
        return
    content = response.content
    if content[:1] == b"{" and len(content) <= _MAX_FILE_BYTES:
        results.add_lines(reading, content, find)
        later.settle()


def _finder(sdk: Sdk, file_id: str) -> results.Find:
    def find(line: Mapping[str, Any]) -> later.Result | None:
        body = get(get(line, "response"), "body")
        if get(body, "usage") is None:
            return None
        place = text(line, "id") or f"{file_id} {text(line, 'custom_id')}"
        return later.Result(_endpoint_of(sdk, body), body, text(body, "id"), place)

    return find


def _endpoint_of(sdk: Sdk, body: object) -> Endpoint:
    path = _KINDS.get(text(body, "object") or "")
    if path is None:
        usage = get(body, "usage")
        path = "/images/generations" if get(usage, "prompt_tokens") is None else "/chat/completions"
    return sdk.endpoints[path]


def _read_response(sdk: Sdk, client: Any, result: Any, asynchronous: bool) -> None:
    def take(body: object) -> None:
        kind = get(body, "type")
        if kind is not None and kind not in _ENDS:
            return
        answer = body if kind is None else get(body, "response")
        if get(answer, "background") is not True or get(answer, "usage") is None:
            return
        if text(answer, "status") in ("queued", "in_progress"):
            return  # what is counted so far is not what is charged
        answer_id = text(answer, "id")
        reading = later.reading(sdk, client, answer_id=answer_id)
        later.add_answer(reading, later.Result(sdk.endpoints["/responses"], answer, answer_id, ""))

    if not ledger.start():
        return
    response = getattr(result, "http_response", None)
    if response is None and hasattr(result, "_iterator"):
        stream.watch(result, Bystander(take, stream=True), asynchronous=asynchronous)
    elif response is None:
        take(result)
    elif hasattr(response, "_content"):
        bodies.read_json(Bystander(take, stream=False), response.content)
    else:
        kind = response.headers.get("content-type", "")
        listener = Bystander(take, stream=kind.startswith("text/event-stream"))
        stream.watch_raw(response, listener, asynchronous=asynchronous)
