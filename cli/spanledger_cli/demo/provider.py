"""A provider on this machine that speaks OpenAI's and Anthropic's wire protocols, with a bill that is known.

It stands in for the network and the key, not for the SDKs: those are the real ones, and what they get is what the
real service sends. Run it in a test with `with LocalProvider() as provider`, or as a process with
`python -m spanledger_cli.demo.provider`. Never a fake inside the SDK: then the wire would go untested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
import uvicorn

from .answers import Answer, Asked, Names, make_answer
from .anthropic_wire import MESSAGES
from .bedrock_wire import find_bedrock
from .gemini_wire import find_gemini
from .media_wire import MEDIA, read_request
from .openai_wire import CHAT, COMPLETIONS, EMBEDDINGS
from .plans import PLAN_HEADER, Bill, BilledCall, Plan
from .responses_wire import RESPONSES
from .tokens import PromptCache
from .wire import Encoded, Endpoint, JsonObject, objects

ENDPOINTS: Final = {endpoint.path: endpoint for endpoint in (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES)}
_COUNT_PATH: Final = f"{MESSAGES.path}/count_tokens"
_KEPT_RESPONSES: Final = 1000

_Message = Mapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]


class _CutError(Exception):
    """Ends a response in the middle; the server closes the connection."""


class LocalProvider:
    """The server, in a thread of this process while it is entered.

    OpenAI clients take `base_url=f"{provider.url}/v1"`, Anthropic clients `base_url=provider.url`, any key.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int | None = None,
        fault_rate: float = 0.0,
        delay_s: float = 0.0,
        bill: Path | None = None,
    ) -> None:
        """Prepare the server.

        Args:
            port: 0 for a free one.
            seed: the same seed gives the same ids and faults; None gives new ones.
            fault_rate: share of first attempts that fail with 429 or 500; an SDK's retry always gets through.
            delay_s: time before the first byte of every answer, half of it again between stream events.
            bill: file that gets a line for every billed call.
        """
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen()  # who comes before the server has begun waits for it
        self._bill = Bill(bill)
        self._plans: deque[Plan] = deque()
        self._cache = PromptCache()
        self._names = Names(str(seed) if seed is not None else secrets.token_hex(8))
        self._chance = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._fault_rate = fault_rate
        self._delay_s = delay_s
        self._responses: dict[str, JsonObject] = {}
        self._history: dict[str, list[object]] = {}
        self.requests = 0
        """HTTP requests seen, failed ones included."""
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=1,
            access_log=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="local-provider", daemon=True)

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def billed(self) -> list[BilledCall]:
        """Every billed call so far, oldest first."""
        return list(self._bill.calls)

    def plan(self, *plans: Plan) -> None:
        """Answer the next HTTP requests by these plans, one each; a retry is a request of its own."""
        self._plans.extend(plans)

    def forget_plans(self) -> None:
        """Forget what is planned and wasn't asked for."""
        self._plans.clear()

    def __enter__(self) -> LocalProvider:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def serve_forever(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        with contextlib.suppress(KeyboardInterrupt):
            self._run()

    async def _serve(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        path, headers = scope["path"], _read_headers(scope)
        raw = await _read_body(receive)
        with contextlib.suppress(_CutError):
            if scope["method"] == "GET":
                await self._retrieve(path, send)
                return
            await self._post(path, headers, raw, send)
            return
        # Returning without the last chunk makes the server close the connection, as a broken line would.

    async def _retrieve(self, path: str, send: _Send) -> None:
        """Give a stored answer back; reading it is not a call and costs nothing."""
        body = self._responses.get(path.removeprefix(f"{RESPONSES.path}/"))
        if body is None:
            await _send_json(send, 404, CHAT.error(404, f"nothing at {path}", ""), {})
        else:
            await _send_json(send, 200, body, {})

    async def _post_media(self, path: str, headers: Mapping[str, str], raw: bytes, send: _Send) -> None:
        self.requests += 1
        request_id = self._names.make("req_01", 22)
        plan = self._next_plan(headers)
        await asyncio.sleep(plan.delay_s or self._delay_s)
        if plan.fails(int(headers.get("x-stainless-retry-count", "0"))):
            await _send_fault(send, CHAT, plan, request_id)
            return
        answer = MEDIA[path](read_request(raw, headers.get("content-type", "")), plan, self._names)
        if answer.usage is not None:
            self._bill.add(BilledCall(request_id, "", path, answer.model, answer.usage, stream=False, cut=False))
        await send(_start(200, {"content-type": answer.content_type, CHAT.request_id_header: request_id}))
        await send({"type": "http.response.body", "body": answer.body})

    async def _post(self, path: str, headers: Mapping[str, str], raw: bytes, send: _Send) -> None:
        if path in MEDIA:
            await self._post_media(path, headers, raw, send)
            return
        endpoint = ENDPOINTS.get(path.removesuffix("/count_tokens")) or find_gemini(path) or find_bedrock(path)
        if endpoint is None:
            await _send_json(send, 404, CHAT.error(404, f"nothing at {path}", ""), {})
            return
        self.requests += 1
        request_id = self._names.make("req_01", 22)
        id_header = {endpoint.request_id_header: request_id}
        try:
            plan = self._next_plan(headers)
            asked = endpoint.read(self._with_history(json.loads(raw)))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            await _send_json(
                send, 400, endpoint.error(400, f"can't read the request: {error!r}", request_id), id_header
            )
            return
        if path == _COUNT_PATH:
            await _send_json(send, 200, {"input_tokens": _prompt_tokens(asked)}, id_header)
            return
        if endpoint.count is not None:
            await _send_json(send, 200, endpoint.count(_prompt_tokens(asked)), id_header)
            return
        await asyncio.sleep(plan.delay_s or self._delay_s)
        if plan.fails(int(headers.get("x-stainless-retry-count", "0"))):
            await _send_fault(send, endpoint, plan, request_id)
            return
        answer = make_answer(asked, plan, self._cache, self._names, endpoint.make_id(self._names), time.time())
        is_cut = asked.stream and plan.cut_after_events is not None
        call = BilledCall(request_id, answer.id, endpoint.path, answer.model, answer.usage, asked.stream, is_cut)
        self._bill.add(call)
        self._remember(endpoint, answer)
        told = {**id_header, **(endpoint.headers(answer) if endpoint.headers else {})}
        if asked.stream:
            await self._send_stream(send, endpoint, answer, plan, told)
        else:
            await _send_json(send, 200, endpoint.body(answer), told)

    def _next_plan(self, headers: Mapping[str, str]) -> Plan:
        if self._plans:
            return self._plans.popleft()
        stated = headers.get(PLAN_HEADER)
        plan = Plan.from_json(stated) if stated else Plan()
        first = headers.get("x-stainless-retry-count", "0") == "0"
        if first and plan.status == 200 and self._chance.random() < self._fault_rate:
            return Plan(status=self._chance.choice((429, 429, 500)))
        return plan

    def _with_history(self, body: dict[str, object]) -> dict[str, object]:
        """Put the turns before `previous_response_id` into the request, where the reader looks for them."""
        previous = body.get("previous_response_id")
        if previous is None:
            return body
        return {**body, "_history": self._history[str(previous)]}

    def _remember(self, endpoint: Endpoint, answer: Answer) -> None:
        if endpoint is not RESPONSES:
            return
        body = endpoint.body(answer)
        given = answer.asked.body.get("input")
        turn = objects(given) or [{"role": "user", "content": given}]
        self._responses[answer.id] = body
        self._history[answer.id] = [
            *objects(answer.asked.body.get("_history")),
            *turn,
            *objects(body["output"]),
        ]
        if len(self._responses) > _KEPT_RESPONSES:
            oldest = next(iter(self._responses))
            del self._responses[oldest], self._history[oldest]

    async def _send_stream(
        self, send: _Send, endpoint: Endpoint, answer: Answer, plan: Plan, headers: Mapping[str, str]
    ) -> None:
        await send(_start(200, {"content-type": endpoint.stream_type, **headers}))
        event: Encoded
        for number, event in enumerate(endpoint.events(answer)):
            if number == plan.cut_after_events:
                if not plan.says_fault or endpoint.fault is None:
                    raise _CutError
                await send({"type": "http.response.body", "body": endpoint.fault().encode()})
                return
            if number and self._delay_s:
                await asyncio.sleep(self._delay_s / 2)
            await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _prompt_tokens(asked: Asked) -> int:
    return sum(segment.tokens for segment in asked.segments)


def _read_headers(scope: _Message) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _read_body(receive: _Receive) -> bytes:
    raw, more = b"", True
    while more:
        message = await receive()
        raw += message.get("body", b"")
        more = message.get("more_body", False)
    return raw


def _start(status: int, headers: Mapping[str, str]) -> _Message:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": encoded}


async def _send_json(send: _Send, status: int, body: JsonObject, headers: Mapping[str, str]) -> None:
    raw = json.dumps(body).encode()
    await send(_start(status, {"content-type": "application/json", "content-length": str(len(raw)), **headers}))
    await send({"type": "http.response.body", "body": raw})


async def _send_fault(send: _Send, endpoint: Endpoint, plan: Plan, request_id: str) -> None:
    wait = {"retry-after-ms": str(round(plan.retry_after_s * 1000)), "retry-after": str(int(plan.retry_after_s))}
    body = endpoint.error(plan.status, "the local provider was told to fail", request_id)
    await _send_json(send, plan.status, body, {**wait, endpoint.request_id_header: request_id})


@click.command()
@click.option("--port", type=int, default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--seed", type=int, default=None, help="Same seed, same ids and faults.")
@click.option("--fault-rate", type=float, default=0.0, help="Share of calls whose first attempt fails.")
@click.option("--delay", "delay_s", type=float, default=0.0, help="Seconds before the first byte.")
@click.option("--bill", type=click.Path(path_type=Path), default=None, help="File for a line a billed call.")
def main(port: int, seed: int | None, fault_rate: float, delay_s: float, bill: Path | None) -> None:
    """Run the local provider; the first line on stdout is its address."""
    provider = LocalProvider(port=port, seed=seed, fault_rate=fault_rate, delay_s=delay_s, bill=bill)
    click.echo(provider.url)
    provider.serve_forever()


if __name__ == "__main__":
    main()
