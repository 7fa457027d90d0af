"""What the bodies of chat completions, responses and messages ask for.

One reader for OpenAI's and Anthropic's protocols: their names hardly collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from spanledger.canonical import fields_of, is_absent

from .wanted import THOUGHTS, Wants, count_runs

_HARMLESS: Final = frozenset(
    {
        *("model", "messages", "input", "system", "instructions", "stream", "stream_options", "tool_choice"),
        *("max_completion_tokens", "max_output_tokens", "function_call"),
        *("user", "metadata", "safety_identifier", "prompt_cache_key", "store", "anthropic_version"),
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
    "thinking": THOUGHTS,
    "redacted_thinking": THOUGHTS,
    "reasoning": THOUGHTS,
    "tool_use": "tools",
    "tool_result": "tools",
    "function_call": "tools",
    "function_call_output": "tools",
}
_OWN_TOOLS: Final = frozenset({None, "function", "custom"})
_RESULTS: Final = frozenset({"tool_result", "function_call_output"})
_ANSWERS: Final = frozenset({"assistant", "model"})
_TURNS: Final = frozenset({"function_call", "reasoning"})
"""Items of a response that come from the model and have no role."""


def read_messages(body: Mapping[str, Any]) -> Wants:
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
        None if kept else 1 + count_runs(map(is_answer, listed)),
        most,
        bool(body.get("tools") or body.get("functions")),
        any(part in _RESULTS for part in parts) or any(_role(message) == "tool" for message in listed),
        any("```" in text for message in listed for text in _said(message)),
        "messages" in body,
        marks,
    )


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


def is_answer(message: Mapping[str, Any]) -> bool:
    """Tell whether the model wrote a message, or an item of a response."""
    return message.get("role") in _ANSWERS or message.get("type") in _TURNS


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
