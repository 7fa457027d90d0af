"""An answer without a network: the real SDK down to its HTTP client, whose transport makes the response up."""

from __future__ import annotations

import json
from typing import Any

import httpx2


def answer_chat(request: httpx2.Request) -> httpx2.Response:
    """Answer a chat completion whose id is what the request has in `user`."""
    asked: dict[str, Any] = json.loads(request.content)
    message = {"role": "assistant", "content": "Hotel Lutetia."}
    body = {
        "id": f"chatcmpl-{asked['user']}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16},
    }
    return httpx2.Response(200, json=body)


async def answer_chat_async(request: httpx2.Request) -> httpx2.Response:
    """Answer it asynchronously."""
    return answer_chat(request)
