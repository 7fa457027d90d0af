"""What a request of Amazon Bedrock's Converse asks for.

What stands in `additionalModelRequestFields` is a family's own; Anthropic's names are known, as they are where its own
protocol is spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from spanledger.canonical import fields_of, is_absent

from .messages import is_answer, read_messages
from .wanted import THOUGHTS, Wants, count_runs, listed, named

_HARMLESS: Final = frozenset({"model_id", "messages", "system", "max_tokens", "tool_choice", "request_metadata"})
"""Parameters that every model takes, or that are read elsewhere."""
_NESTED: Final = frozenset({"inference_config", "tool_config"})
"""Parameters that are only a place for others."""
_BLOCKS: Final = {
    "image": "images",
    "document": "files",
    "video": "video",
    "audio": "audio",
    "tool_use": "tools",
    "tool_result": "tools",
    "reasoning_content": THOUGHTS,
}
_MARK: Final = "cache_point"


def read_converse(body: Mapping[str, Any]) -> Wants:
    """Read the parameters of Converse or ConverseStream."""
    features: dict[str, str] = {}
    asked = dict(_parameters(body))
    for name, value in asked.items():
        for feature, source in _READERS.get(name, _plainly)(name, value):
            features[feature] = source
    if "temperature" in features and "top_p" in features:
        features["temperature and top_p"] = "top_p"
    messages = [fields for one in listed(body.get("messages")) if (fields := fields_of(one)) is not None]
    blocks = [block for one in messages for block in _blocks(one.get("content"))]
    prompt = [*blocks, *_blocks(body.get("system")), *_blocks(asked.get("tools"))]
    for feature in _of_messages(messages, [*blocks, *_blocks(body.get("system"))]):
        features.setdefault(feature, "messages")
    marks = [value for block in prompt for key, value in block.items() if key == _MARK]
    for point in marks:
        lifetime = dict(named(point)).get("ttl", "5m")
        features["cache_control" if lifetime == "5m" else f"cache_control {lifetime}"] = "messages"
    most = dict(named(body.get("inferenceConfig"))).get("max_tokens")
    return Wants(
        features,
        1 + count_runs(map(is_answer, messages)),
        most if type(most) is int else None,
        "tools" in asked,
        any("tool_result" in block for block in blocks),
        any("```" in text for block in blocks if isinstance(text := block.get("text"), str)),
        is_chat=False,
        marks_cache=bool(marks),
    )


def _parameters(body: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in named(body):
        if name in _NESTED:
            yield from _parameters(fields_of(value) or {})
        elif not is_absent(value):
            yield name, value


def _blocks(value: object) -> list[dict[str, Any]]:
    return [dict(named(block)) for block in listed(value)]


def _of_messages(messages: list[dict[Any, Any]], blocks: list[dict[str, Any]]) -> Iterator[str]:
    for block in blocks:
        for key, value in block.items():
            if key not in ("text", _MARK):
                yield from _of_block(key, value)
    if messages and is_answer(messages[-1]):
        yield "prefill"
    yield from (f"role {role}" for one in messages if (role := one.get("role")) not in ("user", "assistant"))


def _of_block(key: str, value: object) -> Iterator[str]:
    yield _BLOCKS.get(key, f"content {key}")
    within = dict(named(value))
    if "s3_location" in dict(named(within.get("source"))):
        yield "content s3_location"
    if "citations" in within:
        yield "content citations"
    if key == "tool_result":
        for block in _blocks(within.get("content")):
            for kind, inner in block.items():
                if kind not in ("text", "json"):
                    yield from _of_block(kind, inner)


_Found = Iterable[tuple[str, str]]
"""Features, and the parameters that they come from."""


def _plainly(name: str, value: object) -> _Found:
    yield name, name


def _nothing(name: str, value: object) -> _Found:
    return ()


def _stop(name: str, value: object) -> _Found:
    yield "stop_sequences", name


def _sampling(name: str, value: object) -> _Found:
    yield f"{name}=1" if value == 1 else name, name


def _tools(name: str, value: object) -> _Found:
    for tool in _blocks(value):
        for kind, inner in tool.items():
            if kind == "tool_spec":
                yield "tools", name
                if dict(named(inner)).get("strict") is True:
                    yield "json_schema", name
            elif kind != _MARK:
                yield f"tool {dict(named(inner)).get('name', kind)}", name


def _output(name: str, value: object) -> _Found:
    for key, inner in named(value):
        if key == "text_format":
            yield str(dict(named(inner)).get("type")), name
        else:
            yield f"{key} {inner}", name


def _own(name: str, value: object) -> _Found:
    """Read what is a family's own, as far as it is Anthropic's."""
    yield from read_messages(fields_of(value) or {}).features.items()


def _usual(kind: str, usual: str) -> Callable[[str, object], _Found]:
    """Make a reader of a parameter that asks for nothing where it has the value that it has anyway."""

    def read(name: str, value: object) -> _Found:
        for key, inner in named(value):
            if (key, inner) != (kind, usual):
                yield f"{name} {inner}", name

    return read


_READERS: Final[Mapping[str, Callable[[str, object], _Found]]] = {
    **dict.fromkeys(_HARMLESS, _nothing),
    "temperature": _sampling,
    "top_p": _sampling,
    "stop_sequences": _stop,
    "tools": _tools,
    "output_config": _output,
    "additional_model_request_fields": _own,
    "service_tier": _usual("type", "default"),
    "performance_config": _usual("latency", "standard"),
}
