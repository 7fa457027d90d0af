"""What a request asks for, as far as a model may refuse it, and what is known of it before it is sent.

One reader for the bodies of chat completions, responses and messages: their names hardly collide. A parameter that
nobody here knows is a feature, too, so that no model is taken to support it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanledger.canonical import fields_of, is_absent
from spanledger.texts import asked_texts

_HARMLESS: Final = frozenset(
    {
        *("model", "messages", "input", "system", "instructions", "stream", "stream_options", "tool_choice"),
        *("max_completion_tokens", "max_output_tokens", "function_call"),
        *("user", "metadata", "safety_identifier", "prompt_cache_key", "store"),
    }
)
"""Parameters that every model takes, or that stand and fall with others."""
_MOST: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_PLAIN_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal", "message"})
_PARTS: Final = {
    "image_url": "images",
    "input_image": "images",
    "image": "images",
    "input_audio": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
    "thinking": "thinking of earlier turns",
    "redacted_thinking": "thinking of earlier turns",
    "reasoning": "thinking of earlier turns",
    "tool_use": "tools",
    "tool_result": "tools",
    "function_call": "tools",
    "function_call_output": "tools",
}
NOT_TEXT: Final = frozenset({"images", "audio", "files"})
"""Features whose tokens no bytes tell."""
_OWN_TOOLS: Final = frozenset({None, "function", "custom"})
_RESULTS: Final = frozenset({"tool_result", "function_call_output"})
_TURNS: Final = frozenset({"function_call", "reasoning"})
"""Items of a response that come from the model and have no role."""


class Wants(NamedTuple):
    """What a request asks for."""

    features: Mapping[str, str]
    """Feature to the parameter that it comes from: `json_schema` to `response_format`."""
    turn: int | None
    """1 and one more for each answer of the model that is sent along; None where the provider keeps them."""
    most: int | None
    """Tokens that the answer may have."""
    tools: bool
    """Tools are offered."""
    tool_results: bool
    code: bool
    """There is a code fence in a message."""
    is_chat: bool
    """Of chat completions, which some models take less with."""
    marks_cache: bool
    """Parts are marked to be cached by the provider."""


def read_wants(body: Mapping[str, Any]) -> Wants:
    """Read the body of a chat completion, a response or a message."""
    features: dict[str, str] = {}
    for name, value in body.items():
        if name in _HARMLESS or is_absent(value):
            continue
        for feature in _READERS.get(name, _plainly)(name, value):
            features[feature] = name
    if "temperature" in features and "top_p" in features:
        features["temperature and top_p"] = "top_p"
    listed = _messages(body)
    parts = [part for message in listed for part in _parts(message)]
    for part in parts:
        feature = _PARTS.get(part, f"content {part}")
        if part not in _PLAIN_PARTS:
            features.setdefault(feature, "messages")
    if any(_role(message) == "tool" or "tool_calls" in message for message in listed):
        features.setdefault("tools", "messages")
    if listed and _role(listed[-1]) == "assistant" and listed[-1].get("type", "message") == "message":
        features["prefill"] = "messages"
    marks = "cache_control" in body or any(_is_marked(one) for one in _marked_places(body))
    if marks:
        features["cache_control"] = "cache_control" if "cache_control" in body else "messages"
    kept = any(not is_absent(body.get(name)) for name in ("previous_response_id", "conversation"))
    most = next((body[name] for name in _MOST if type(body.get(name)) is int), None)
    return Wants(
        features,
        None if kept else 1 + _answers(listed),
        most,
        bool(body.get("tools") or body.get("functions")),
        any(part in _RESULTS for part in parts) or any(_role(message) == "tool" for message in listed),
        any("```" in text for message in listed for text in _said(message)),
        "messages" in body,
        marks,
    )


def cached_share(body: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bytes of a prompt that the call before it had sent, at most, and those of all of it."""
    key = "messages" if "messages" in body else "input"
    listed = body.get(key)
    if not isinstance(listed, list | tuple):
        return 0, asked_texts(body).size
    last = max((place for place, one in enumerate(listed) if _is_answer(fields_of(one) or {})), default=0)
    while last and _is_answer(fields_of(listed[last - 1]) or {}):
        last -= 1
    before = asked_texts({**body, key: listed[:last]}).size if last else 0
    return before, asked_texts(body).size


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for name in ("messages", "input"):
        listed = body.get(name)
        if isinstance(listed, list | tuple):
            return [fields_of(one) or {"role": "user", "content": one} for one in listed]
        if isinstance(listed, str):
            return [{"role": "user", "content": listed}]
    return []


def _parts(message: Mapping[str, Any]) -> list[str]:
    """Name the kinds of what is in a message, or of an item that is none."""
    found = [str(message["type"])] if isinstance(message.get("type"), str) else []
    content = message.get("content")
    for block in content if isinstance(content, list | tuple) else ():
        fields = fields_of(block)
        found.append(str(fields.get("type", "text")) if fields is not None else "text")
        inside = fields.get("content") if fields is not None else None
        if isinstance(inside, list | tuple):  # a picture that a tool gave
            found.extend(str((fields_of(one) or {}).get("type", "text")) for one in inside)
    return found


def _said(message: Mapping[str, Any]) -> Iterable[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for block in content if isinstance(content, list | tuple) else ():
        text = block if isinstance(block, str) else (fields_of(block) or {}).get("text")
        if isinstance(text, str):
            yield text


def _role(message: Mapping[str, Any]) -> object:
    return message.get("role")


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "assistant" or message.get("type") in _TURNS


def _answers(listed: Sequence[Mapping[str, Any]]) -> int:
    """Count the model's answers; several items of a response in a row are one."""
    count, before = 0, False
    for message in listed:
        answers = _is_answer(message)
        count += answers and not before
        before = answers
    return count


def _marked_places(body: Mapping[str, Any]) -> Iterable[object]:
    for name in ("system", "tools"):
        listed = body.get(name)
        yield from listed if isinstance(listed, list | tuple) else ()
    for message in _messages(body):
        content = message.get("content")
        yield from content if isinstance(content, list | tuple) else ()


def _is_marked(block: object) -> bool:
    return "cache_control" in (fields_of(block) or {})


def _plainly(name: str, value: object) -> Iterable[str]:
    yield name


def _sampling(name: str, value: object) -> Iterable[str]:
    """A model that samples in its own way may still take what is the default."""
    yield f"{name}={_DEFAULTS[name]}" if value == _DEFAULTS[name] else name


def _tools(name: str, value: object) -> Iterable[str]:
    for tool in value if isinstance(value, list | tuple) else ():
        fields = fields_of(tool) or {}
        kind = fields.get("type")
        if kind == "custom" and "input_schema" not in fields:
            yield "custom tools"  # of OpenAI, in a grammar instead of a schema; Anthropic's have one
        else:
            yield "tools" if kind in _OWN_TOOLS else f"tool {kind}"
        if (fields_of(fields.get("function")) or fields).get("strict") is True:
            yield "json_schema"


def _functions(name: str, value: object) -> Iterable[str]:
    yield "tools"


def _format(name: str, value: object) -> Iterable[str]:
    kind = (fields_of(value) or {}).get("type")
    if kind != "text":
        yield str(kind)


def _text(name: str, value: object) -> Iterable[str]:
    for key, inner in (fields_of(value) or {}).items():
        if key == "format":
            yield from _format(name, inner)
        elif not is_absent(inner):
            yield key


def _effort(name: str, value: object) -> Iterable[str]:
    yield f"effort {value}"


def _reasoning(name: str, value: object) -> Iterable[str]:
    for key, inner in (fields_of(value) or {}).items():
        if not is_absent(inner):
            yield f"effort {inner}" if key == "effort" else f"reasoning {key}"


def _thinking(name: str, value: object) -> Iterable[str]:
    yield f"thinking {(fields_of(value) or {}).get('type')}"


def _output(name: str, value: object) -> Iterable[str]:
    for key, inner in (fields_of(value) or {}).items():
        if key == "format":
            yield from _format(name, inner)
        elif not is_absent(inner):
            yield f"{key} {inner}" if key == "effort" else f"{name} {key}"


def _tier(name: str, value: object) -> Iterable[str]:
    if value not in ("auto", "default", "standard_only"):
        yield f"{name} {value}"


def _modalities(name: str, value: object) -> Iterable[str]:
    if value not in (["text"], ("text",)):
        yield name


def _switch(name: str, value: object) -> Iterable[str]:
    if value is not False:
        yield name


_DEFAULTS: Final = {"temperature": 1, "top_p": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0}
_READERS: Final[Mapping[str, Callable[[str, object], Iterable[str]]]] = {
    **dict.fromkeys(_DEFAULTS, _sampling),
    "tools": _tools,
    "functions": _functions,
    "response_format": _format,
    "output_format": _format,
    "text": _text,
    "reasoning_effort": _effort,
    "reasoning": _reasoning,
    "thinking": _thinking,
    "output_config": _output,
    "service_tier": _tier,
    "modalities": _modalities,
    "logprobs": _switch,
}
