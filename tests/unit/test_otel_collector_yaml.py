"""The gateway's configuration, checked as strictly as can be without the Collector itself.

The official image validates it too, but can't run everywhere; this can.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

Tree = dict[str, "Tree"]

PATH = Path(__file__).parents[2] / "otel-collector.yaml"
SECTIONS = ("extensions", "receivers", "processors", "exporters", "connectors", "service")
KEYS: dict[str, dict[str, set[str]]] = {
    "extensions": {
        "health_check": {"endpoint"},
        "file_storage": {"directory", "create_directory", "fsync", "timeout", "compaction"},
    },
    "receivers": {"otlp": {"protocols"}},
    "processors": {
        "memory_limiter": {"check_interval", "limit_percentage", "spike_limit_percentage"},
        "transform": {"error_mode", "trace_statements"},
    },
    "exporters": {
        "otlp_grpc": {"endpoint", "tls", "compression", "timeout", "retry_on_failure", "sending_queue"},
    },
}
"""Component types and the settings of each, from the Collector's documentation."""
DURATIONS = {
    "check_interval",
    "timeout",
    "flush_timeout",
    "initial_interval",
    "max_interval",
    "max_elapsed_time",
}
SIZES = {"queue_size", "min_size", "max_size", "max_request_body_size", "max_recv_msg_size_mib", "num_consumers"}
DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")

CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.definitions",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.11.content",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
    "llm.tools.0.tool.json_schema",
    "embedding.embeddings.0.embedding.text",
    "input.value",
    "output.value",
    "output.images.0.image.url",
    "request_data",
    "traceloop.entity.input",
    "ai.prompt.messages",
)
LEDGER = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cost",
    "gen_ai.prompt.name",
    "gen_ai.prompt.version",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.request.model",
    "gen_ai.response.id",
    "llm.token_count.prompt",
    "llm.token_count.completion_details.reasoning",
    "llm.model_name",
    "llm.prompt_template.version",
    "ai.usage.promptTokens",
    "input.mime_type",
    "spanledger.cost.pico_usd",
    "spanledger.tag.prompt",
    "user.id",
    "session.id",
)


def load() -> Tree:
    return cast(Tree, yaml.safe_load(PATH.read_text("utf-8")))


def kind(component: str) -> str:
    return component.partition("/")[0]


def problems(config: Tree) -> Iterator[str]:
    """Say what is wrong with a configuration."""
    yield from (f"unknown section {name}" for name in config if name not in SECTIONS)
    for section, known in KEYS.items():
        for component, settings in (config.get(section) or {}).items():
            if kind(component) not in known:
                yield f"unknown type of {section}: {component}"
                continue
            yield from (f"{component}: unknown {key}" for key in settings or {} if key not in known[kind(component)])
    yield from reference_problems(config)
    yield from (problem for path, value in leaves(config) for problem in value_problems(path, value))


def reference_problems(config: Tree) -> Iterator[str]:
    service = config["service"]
    used: dict[str, set[str]] = {"extensions": set(cast("list[str]", service["extensions"]))}
    for name, pipeline in service["pipelines"].items():
        for section, components in cast("dict[str, list[str]]", pipeline).items():
            used.setdefault(section, set()).update(components)
        if not cast("list[str]", pipeline["processors"])[0].startswith("memory_limiter"):
            yield f"pipeline {name} does not begin with memory_limiter"
    for section in KEYS:
        defined = set(config.get(section) or {})
        yield from (f"{name} is used but not defined" for name in sorted(used.get(section, set()) - defined))
        yield from (f"{name} is defined but not used" for name in sorted(defined - used.get(section, set())))
    for name, exporter in config["exporters"].items():
        storage = cast("str | None", exporter["sending_queue"].get("storage"))
        if storage is None:
            yield f"{name} keeps its queue in memory"
        elif storage not in used["extensions"]:
            yield f"{name}: storage {storage} is not among the service's extensions"
        elif cast("object", config["extensions"][storage].get("fsync")) is not True:
            yield f"{name}: storage {storage} is not written with fsync"


def leaves(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from leaves(value, (*path, str(number)))
    else:
        yield path, node


def value_problems(path: tuple[str, ...], value: object) -> Iterator[str]:
    place, key = ".".join(path), path[-1]
    if key in DURATIONS and not (isinstance(value, str) and DURATION.fullmatch(value)):
        yield f"{place}: {value!r} is no duration"
    if key in SIZES and not (type(value) is int and value > 0):
        yield f"{place}: {value!r} is no size"
    if key == "endpoint":
        plain = re.sub(r"\$\{env:[A-Z_]+:-([^}]*)\}", r"\1", str(value))
        if not re.fullmatch(r"[a-z0-9.-]+:\d{2,5}", plain):
            yield f"{place}: {value!r} is no host and port"


def test_the_configuration_has_no_problem() -> None:
    assert list(problems(load())) == []


def rename_exporter(config: Tree) -> None:
    config["exporters"]["otlp_grpc/other"] = config["exporters"].pop("otlp_grpc/spanledger")


CHANGES: dict[str, tuple[Callable[[Tree], object], list[str]]] = {
    "type": (lambda c: c["processors"].update({"btach": {}}), ["unknown type of processors: btach"]),
    "key": (lambda c: c["extensions"]["file_storage"].update(fsnyc={}), ["file_storage: unknown fsnyc"]),
    "section": (lambda c: c.update(exporter={}), ["unknown section exporter"]),
    "name": (
        rename_exporter,
        ["otlp_grpc/spanledger is used but not defined", "otlp_grpc/other is defined but not used"],
    ),
    "order": (
        lambda c: cast("list[str]", c["service"]["pipelines"]["traces"]["processors"]).reverse(),
        ["pipeline traces does not begin with memory_limiter"],
    ),
    "extension": (
        lambda c: cast("list[str]", c["service"]["extensions"]).remove("file_storage"),
        [
            "file_storage is defined but not used",
            "otlp_grpc/spanledger: storage file_storage is not among the service's extensions",
        ],
    ),
    "storage": (
        lambda c: c["exporters"]["otlp_grpc/spanledger"]["sending_queue"].pop("storage"),
        ["otlp_grpc/spanledger keeps its queue in memory"],
    ),
    "fsync": (
        lambda c: c["extensions"]["file_storage"].pop("fsync"),
        ["otlp_grpc/spanledger: storage file_storage is not written with fsync"],
    ),
    "duration": (
        lambda c: c["processors"]["memory_limiter"].update(cast(Tree, {"check_interval": 1})),
        ["processors.memory_limiter.check_interval: 1 is no duration"],
    ),
    "endpoint": (
        lambda c: c["extensions"]["health_check"].update(cast(Tree, {"endpoint": "localhost"})),
        ["extensions.health_check.endpoint: 'localhost' is no host and port"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_check_finds(name: str) -> None:
    change, expected = CHANGES[name]
    config = copy.deepcopy(load())
    change(config)
    found = set(problems(config))
    assert set(expected) <= found


def test_no_batch_is_over_what_the_collector_takes() -> None:
    batch = load()["exporters"]["otlp_grpc/spanledger"]["sending_queue"]["batch"]
    assert cast(int, batch["max_size"]) < 20 << 20


@pytest.fixture(scope="module")
def redacted() -> list[re.Pattern[str]]:
    """Return the patterns of attributes that are taken out of spans."""
    blocks = cast("list[dict[str, object]]", load()["processors"]["transform/redact_content"]["trace_statements"])
    statements = [
        line for block in blocks if block["context"] == "span" for line in cast("list[str]", block["statements"])
    ]
    quoted = [re.fullmatch(r'delete_matching_keys\(attributes, "(.*)"\)', statement) for statement in statements]
    return [re.compile(found[1].replace(r"\\", "\\")) for found in quoted if found]


@pytest.mark.parametrize("key", CONTENT)
def test_what_was_said_is_taken_out(redacted: list[re.Pattern[str]], key: str) -> None:
    assert any(pattern.search(key) for pattern in redacted)


@pytest.mark.parametrize("key", LEDGER)
def test_what_the_ledger_needs_stays(redacted: list[re.Pattern[str]], key: str) -> None:
    assert not any(pattern.search(key) for pattern in redacted)
