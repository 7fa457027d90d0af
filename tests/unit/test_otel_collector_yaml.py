"""The gateway's configuration, checked as strictly as can be without the Collector itself.

The official image validates it too, but can't run everywhere; this can. What components can be told stands in
`gateway_settings`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from gateway_settings import COMPONENTS, SERVICE, Kind, ListOf, OneOf
from spanledger_collector.agents import CONTENT as UNSAID

Tree = dict[str, Any]

ROOT = Path(__file__).parents[2]
PATH = ROOT / "otel-collector.yaml"
SIGNALS = ("traces", "logs", "metrics")
DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")
VARIABLE = re.compile(r"\$\{env:([A-Z0-9_]+)(?::-([^}]*))?\}")
ADDRESS = re.compile(r"[a-z0-9.-]+:\d{2,5}")

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
    "ai.toolCall.args",
    "gcp.vertex.agent.llm_request",
    "gen_ai.content.prompt",
    "mlflow.spanInputs",
    "pydantic_ai.all_messages",
    "retrieval.documents.0.document.content",
    "tool.parameters",
    "tool_arguments",
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
    "gen_ai.usage.raw",
    "traceloop.span.kind",
    "openinference.span.kind",
)
SAID_IN_LOGS = (*sorted(UNSAID), "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
LEDGER_OF_LOGS = (
    "event.name",
    "prompt.id",
    "model",
    "input_tokens",
    "cost_usd",
    "input_token_count",
    "gen_ai.evaluation.score.value",
    "gen_ai.response.id",
)


def load() -> Tree:
    return cast(Tree, yaml.safe_load(PATH.read_text("utf-8")))


def kind_of(component: str) -> str:
    return component.partition("/")[0]


def problems(config: Tree) -> Iterator[str]:
    """Say what is wrong with a configuration."""
    yield from (f"unknown section {name}" for name in config if name not in (*COMPONENTS, "service"))
    for section, known in COMPONENTS.items():
        for component, settings in config.get(section, {}).items():
            if kind_of(component) not in known:
                yield f"unknown type of {section}: {component}"
            else:
                yield from value_problems(f"{section}.{component}", settings or {}, known[kind_of(component)])
    service = {name: value for name, value in config["service"].items() if name != "pipelines"}
    yield from value_problems("service", service, SERVICE)
    yield from reference_problems(config)
    yield from (
        problem for name, pipeline in config["service"]["pipelines"].items() for problem in order(name, pipeline)
    )
    yield from (problem for name, exporter in config["exporters"].items() for problem in queue(config, name, exporter))
    yield from variable_problems(config)


def value_problems(place: str, value: object, kind: Kind) -> Iterator[str]:
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no group of settings"
            return
        for name, inner in value.items():
            if name in kind:
                yield from value_problems(f"{place}.{name}", inner, kind[name])
            else:
                yield f"{place}: unknown {name}"
    elif isinstance(kind, ListOf):
        if not isinstance(value, list) or not value:
            yield f"{place}: {value!r} is no list"
            return
        for number, inner in enumerate(value):
            yield from value_problems(f"{place}.{number}", inner, kind.kind)
    elif isinstance(kind, OneOf):
        if value not in kind.words:
            yield f"{place}: {value!r} is none of {', '.join(kind.words)}"
    elif not FITS[kind](value):
        yield f"{place}: {value!r} is no {kind}"


def filled(value: object) -> str:
    """Return a text with the defaults of its variables."""
    return VARIABLE.sub(lambda found: found[2] or "", str(value))


FITS: dict[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str) and filled(value) != "",
    "component": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "count": lambda value: type(value) is int and value > 0,
    "percent": lambda value: type(value) is int and 0 < value < 100,
    "number": lambda value: type(value) in (int, float),
    "duration": lambda value: isinstance(value, str) and DURATION.fullmatch(value) is not None,
    "address": lambda value: ADDRESS.fullmatch(filled(value)) is not None,
}


def reference_problems(config: Tree) -> Iterator[str]:
    """Say what is used and not defined, or defined and not used."""
    service = config["service"]
    used: dict[str, set[str]] = {section: set() for section in COMPONENTS}
    used["extensions"] = set(service["extensions"])
    for name, pipeline in service["pipelines"].items():
        if kind_of(name) not in SIGNALS:
            yield f"{name} is no signal"
        for section, components in pipeline.items():
            if section not in ("receivers", "processors", "exporters"):
                yield f"pipeline {name}: unknown {section}"
            else:
                used[section].update(components)
    for section in COMPONENTS:
        defined = set(config.get(section, {}))
        yield from (f"{name} is used but not defined" for name in sorted(used[section] - defined))
        yield from (f"{name} is defined but not used" for name in sorted(defined - used[section]))
    referred = {value for key, value in leaves(config) if key in ("storage", "authenticator")}
    yield from (f"{name} is referred to but no extension of the service" for name in referred - used["extensions"])
    helpers = used["extensions"] & {name for name in used["extensions"] if kind_of(name) != "health_check"}
    yield from (f"{name} is started but not referred to" for name in sorted(helpers - referred))


def order(name: str, pipeline: Tree) -> Iterator[str]:
    processors = [kind_of(processor) for processor in pipeline["processors"]]
    if processors[:1] != ["memory_limiter"]:
        yield f"pipeline {name} does not begin with memory_limiter"
    if "batch" in processors[:-1]:
        yield f"pipeline {name} does something after batch"
    if any("sampl" in processor for processor in processors):
        yield f"pipeline {name} samples"


def queue(config: Tree, name: str, exporter: Tree) -> Iterator[str]:
    """Say where an exporter would lose what has been acknowledged."""
    told = exporter.get("sending_queue", {})
    storage = config["extensions"].get(told.get("storage"), {})
    if not told.get("enabled") or "storage" not in told:
        yield f"{name} keeps its queue in memory"
    elif storage.get("fsync") is not True:
        yield f"{name}: its queue is not written with fsync"
    if exporter.get("retry_on_failure", {}).get("max_elapsed_time") != "0s":
        yield f"{name} gives up"
    inner = exporter.get("protocol", {}).get("otlp", {})
    if inner.get("sending_queue", {}).get("enabled") is not False and inner:
        yield f"{name}: each of its collectors has a queue in memory"
    if inner and "auth" not in inner:
        yield f"{name} sends without a token"
    elif inner.get("tls", {}).get("insecure") is not False and inner:
        yield f"{name}: a token goes through TLS only"


def variable_problems(config: Tree) -> Iterator[str]:
    """Say which variables have no default, or are not documented."""
    documented = PATH.read_text("utf-8").partition("\nextensions:")[0]
    page = (ROOT / "docs" / "gateway.md").read_text("utf-8")
    for _, value in leaves(config):
        for variable, default in VARIABLE.findall(str(value)):
            if not default:
                yield f"{variable} has no default"
            if variable not in documented or f"`{variable}`" not in page:
                yield f"{variable} is not documented"


def leaves(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, key)
    else:
        yield key, node


def test_the_configuration_has_no_problem() -> None:
    assert list(problems(load())) == []


def traces(config: Tree) -> Tree:
    return cast(Tree, config["exporters"]["load_balancing/traces"])


CHANGES: dict[str, tuple[Callable[[Tree], object], list[str]]] = {
    "type": (lambda c: c["processors"].update({"btach": {}}), ["unknown type of processors: btach"]),
    "renamed type": (
        lambda c: c["exporters"].update({"loadbalancing": {}}),
        ["unknown type of exporters: loadbalancing"],
    ),
    "key": (
        lambda c: c["extensions"]["file_storage"].update(fsnyc=True),
        ["extensions.file_storage: unknown fsnyc"],
    ),
    "nested key": (
        lambda c: c["receivers"]["otlp"]["protocols"]["grpc"].update(max_recv_msg_size=20),
        ["receivers.otlp.protocols.grpc: unknown max_recv_msg_size"],
    ),
    "endpoint of a balanced exporter": (
        lambda c: traces(c)["protocol"]["otlp"].update(endpoint="a:4317"),
        ["exporters.load_balancing/traces.protocol.otlp: unknown endpoint"],
    ),
    "section": (lambda c: c.update(exporter={}), ["unknown section exporter"]),
    "name": (
        lambda c: c["exporters"].update({"load_balancing/other": c["exporters"].pop("load_balancing/traces")}),
        ["load_balancing/traces is used but not defined", "load_balancing/other is defined but not used"],
    ),
    "signal": (
        lambda c: c["service"]["pipelines"].update(trace=c["service"]["pipelines"]["traces"]),
        ["trace is no signal"],
    ),
    "limiter first": (
        lambda c: c["service"]["pipelines"]["traces"]["processors"].reverse(),
        ["pipeline traces does not begin with memory_limiter"],
    ),
    "batch last": (
        lambda c: (
            c["processors"].update({"batch": {}}),
            c["service"]["pipelines"]["logs"]["processors"].insert(1, "batch"),
        ),
        ["pipeline logs does something after batch"],
    ),
    "sampling": (
        lambda c: c["service"]["pipelines"]["traces"]["processors"].append("tail_sampling"),
        ["pipeline traces samples", "tail_sampling is used but not defined"],
    ),
    "extension": (
        lambda c: c["service"]["extensions"].remove("file_storage"),
        ["file_storage is defined but not used", "file_storage is referred to but no extension of the service"],
    ),
    "token": (
        lambda c: traces(c)["protocol"]["otlp"].pop("auth"),
        ["load_balancing/traces sends without a token"],
    ),
    "idle extension": (
        lambda c: [exporter["protocol"]["otlp"].pop("auth") for exporter in c["exporters"].values()],
        ["bearertokenauth is started but not referred to"],
    ),
    "token in the clear": (
        lambda c: traces(c)["protocol"]["otlp"]["tls"].update(insecure=True),
        ["load_balancing/traces: a token goes through TLS only"],
    ),
    "storage": (
        lambda c: traces(c)["sending_queue"].pop("storage"),
        ["load_balancing/traces keeps its queue in memory"],
    ),
    "queues below": (
        lambda c: traces(c)["protocol"]["otlp"].pop("sending_queue"),
        ["load_balancing/traces: each of its collectors has a queue in memory"],
    ),
    "fsync": (
        lambda c: c["extensions"]["file_storage"].pop("fsync"),
        ["load_balancing/traces: its queue is not written with fsync"],
    ),
    "giving up": (
        lambda c: traces(c)["retry_on_failure"].update(max_elapsed_time="300s"),
        ["load_balancing/traces gives up"],
    ),
    "duration": (
        lambda c: c["processors"]["memory_limiter"].update(check_interval=1),
        ["processors.memory_limiter.check_interval: 1 is no duration"],
    ),
    "size": (
        lambda c: traces(c)["sending_queue"].update(queue_size="2GB"),
        ["exporters.load_balancing/traces.sending_queue.queue_size: '2GB' is no count"],
    ),
    "percent": (
        lambda c: c["processors"]["memory_limiter"].update(limit_percentage=175),
        ["processors.memory_limiter.limit_percentage: 175 is no percent"],
    ),
    "word": (
        lambda c: traces(c).update(routing_key="trace_id"),
        [
            "exporters.load_balancing/traces.routing_key: 'trace_id' is none of "
            "traceID, service, resource, metric, streamID, attributes"
        ],
    ),
    "address": (
        lambda c: c["extensions"]["health_check"].update(endpoint="localhost"),
        ["extensions.health_check.endpoint: 'localhost' is no address"],
    ),
    "variable": (
        lambda c: c["extensions"]["bearertokenauth"].update(filename="${env:TOKEN}"),
        ["TOKEN has no default", "TOKEN is not documented"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_check_finds(name: str) -> None:
    change, expected = CHANGES[name]
    config = copy.deepcopy(load())
    for exporter in config["exporters"].values():  # what is written once is loaded once, too
        exporter.update(copy.deepcopy(exporter))
    change(config)
    found = set(problems(config))
    assert set(expected) <= found


def test_no_batch_is_over_what_the_collector_takes() -> None:
    for exporter in load()["exporters"].values():
        assert exporter["sending_queue"]["batch"]["max_size"] < 20 << 20


def redacted(section: str, context: str) -> list[re.Pattern[str]]:
    """Return the patterns of attributes that are taken out."""
    blocks = load()["processors"]["transform/redact_content"][section]
    statements = [line for block in blocks if block["context"] == context for line in block["statements"]]
    quoted = [re.fullmatch(r'delete_matching_keys\(attributes, "(.*)"\)', statement) for statement in statements]
    return [re.compile(found[1].replace(r"\\", "\\")) for found in quoted if found]


def test_what_was_said_is_taken_out() -> None:
    patterns = redacted("trace_statements", "span")
    assert [key for key in CONTENT if not any(pattern.search(key) for pattern in patterns)] == []


def test_what_the_ledger_needs_stays() -> None:
    patterns = redacted("trace_statements", "span")
    assert [key for key in LEDGER if any(pattern.search(key) for pattern in patterns)] == []


def test_what_was_said_is_taken_out_of_logs_and_their_resources() -> None:
    patterns = [*redacted("log_statements", "log"), *redacted("log_statements", "resource")]
    assert [key for key in SAID_IN_LOGS if not any(pattern.search(key) for pattern in patterns)] == []


def test_what_the_ledger_needs_of_logs_stays() -> None:
    patterns = redacted("log_statements", "log")
    assert [key for key in LEDGER_OF_LOGS if any(pattern.search(key) for pattern in patterns)] == []


def test_the_workflow_validates_this_file_with_a_pinned_image() -> None:
    workflow = (ROOT / ".github" / "workflows" / "otel-collector.yml").read_text("utf-8")
    steps = yaml.safe_load(workflow)["jobs"]["validate"]["steps"]
    image = re.search(r"otel/opentelemetry-collector-contrib:(\d+\.\d+\.\d+)", workflow)
    assert image is not None
    assert any("validate --config=/etc/otel-collector.yaml" in step.get("run", "") for step in steps)
    assert image[1] in (ROOT / "docs" / "gateway.md").read_text("utf-8")
