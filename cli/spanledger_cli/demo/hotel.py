"""The hotel search: the field's standard example of an agent, with its history really sent again.

Three calls on GPT-4 Turbo. Counted once, the text is 5,000 tokens in and 600 out, $0.068; what the provider bills
is 3,000 + 4,550 + 5,400 in and 600 out, $0.1475, because every call carries all that came before it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import spanledger

from .people import HOTEL_MODEL, HOTEL_QUERY
from .plans import PLAN_HEADER
from .tokens import count_tokens, make_text

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import (
        ChatCompletionMessageFunctionToolCall,
        ChatCompletionMessageParam,
        ChatCompletionToolUnionParam,
    )

AGENT_NAME: Final = "hotel search"
START_TOKENS: Final = 3000
"""System prompt, tools and query together."""
SEARCH_RESULT_TOKENS: Final = 1500
AVAILABILITY_RESULT_TOKENS: Final = 500

OUTPUT_TOKENS: Final = 600
BOOKING_VALUE_USD: Final = Decimal("12.50")
NAIVE_INPUT_TOKENS: Final = 5000
NAIVE_USD: Final = Decimal("0.068")


def _tool(tool: str, about: str, **properties: str) -> ChatCompletionToolUnionParam:
    inner = {name: {"type": kind} for name, kind in properties.items()}
    schema: dict[str, object] = {"type": "object", "properties": inner}
    return {"type": "function", "function": {"name": tool, "description": about, "parameters": schema}}


TOOLS: Final = (
    _tool("search_hotels", "Find hotels in a city.", city="string", max_price_usd="number"),
    _tool("check_availability", "Ask for free rooms.", hotel="string", nights="integer"),
)

_ANSWERS: Final = (
    {"tool_tokens": 50, "arguments": {"city": "Paris", "max_price_usd": 200}},
    {"text_tokens": 300, "tool_tokens": 50, "arguments": {"hotel": "Hotel du Canal", "nights": 2}},
    {"text_tokens": 200, "opening": "Hotel du Canal, $184 a night, has a room for next weekend."},
)
_RESULTS: Final = {"search_hotels": SEARCH_RESULT_TOKENS, "check_availability": AVAILABILITY_RESULT_TOKENS}


def search_hotels(client: OpenAI) -> str:
    """Run the agent and return its answer."""
    messages = _first_messages()
    with spanledger.span(AGENT_NAME, kind="agent"):
        for answer in _ANSWERS:
            completion = client.chat.completions.create(
                model=HOTEL_MODEL,
                messages=messages,
                tools=list(TOOLS),
                extra_headers={PLAN_HEADER: json.dumps(answer)},
            )
            message = completion.choices[0].message
            if not message.tool_calls:
                spanledger.outcome("hotel booked", success=True, value_usd=BOOKING_VALUE_USD)
                return message.content or ""
            messages.append(message.to_dict())  # type: ignore[arg-type]
            messages += [_run_tool(call) for call in message.tool_calls if call.type == "function"]
    raise AssertionError("the provider asked for more tools than there are")


def _first_messages() -> list[ChatCompletionMessageParam]:
    rest = count_tokens(TOOLS) + count_tokens(HOTEL_QUERY)
    system = make_text(START_TOKENS - rest, "You find hotels and check that they have rooms.")
    return [{"role": "system", "content": system}, {"role": "user", "content": HOTEL_QUERY}]


def _run_tool(call: ChatCompletionMessageFunctionToolCall) -> ChatCompletionMessageParam:
    name = call.function.name
    with spanledger.span(name, kind="tool"):
        result = make_text(_RESULTS[name], f"Results of {name}:")
    return {"role": "tool", "tool_call_id": call.id, "content": result}
