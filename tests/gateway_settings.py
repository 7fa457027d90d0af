"""What the upstream Collector's components can be told, as far as our gateway uses them: the settings and their kinds.

From the `config.schema.yaml` of each component of opentelemetry-collector 0.159 (otlp, memory_limiter, batch, and the
shared configgrpc, confighttp, configtls, configretry and exporterhelper) and of opentelemetry-collector-contrib
(load_balancing, bearertokenauth, transform), and from the READMEs of file_storage and health_check.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class OneOf(NamedTuple):
    """A word out of a few."""

    words: tuple[str, ...]


class ListOf(NamedTuple):
    """Any number of things of one kind."""

    kind: Kind


Kind = str | OneOf | ListOf | dict[str, "Kind"]
"""`text`, `flag`, `count`, `percent`, `duration`, `address`, `component`, or a group of settings by name."""

_TLS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("ca_file", "cert_file", "key_file", "min_version", "max_version"), "text"),
    **dict.fromkeys(("include_system_ca_certs_pool",), "flag"),
    "reload_interval": "duration",
}
_TLS_CLIENT: Final[dict[str, Kind]] = {
    **_TLS,
    "insecure": "flag",
    "insecure_skip_verify": "flag",
    "server_name_override": "text",
}
_TLS_SERVER: Final[dict[str, Kind]] = {**_TLS, "client_ca_file": "text", "client_ca_file_reload": "flag"}
_AUTH: Final[dict[str, Kind]] = {"authenticator": "component"}
_RETRY: Final[dict[str, Kind]] = {
    "enabled": "flag",
    **dict.fromkeys(("initial_interval", "max_interval", "max_elapsed_time"), "duration"),
    **dict.fromkeys(("multiplier", "randomization_factor"), "number"),
}
_SIZER: Final = OneOf(("requests", "items", "bytes"))
_QUEUE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("enabled", "wait_for_result", "block_on_overflow"), "flag"),
    **dict.fromkeys(("num_consumers", "queue_size"), "count"),
    "sizer": _SIZER,
    "storage": "component",
    "batch": {"flush_timeout": "duration", "min_size": "count", "max_size": "count", "sizer": _SIZER},
}
_COMPRESSION: Final = OneOf(("gzip", "zstd", "snappy", "none"))
_OTLP_GRPC: Final[dict[str, Kind]] = {
    "endpoint": "address",
    "tls": _TLS_CLIENT,
    "auth": _AUTH,
    "compression": _COMPRESSION,
    "headers": "text",
    "timeout": "duration",
    "retry_on_failure": _RETRY,
    "sending_queue": _QUEUE,
    "balancer_name": "text",
    "wait_for_ready": "flag",
}
_WITHOUT_ENDPOINT: Final[dict[str, Kind]] = {name: kind for name, kind in _OTLP_GRPC.items() if name != "endpoint"}
_STATEMENTS: Final = ListOf(
    {
        "context": OneOf(("resource", "scope", "span", "spanevent", "log", "metric", "datapoint")),
        "conditions": ListOf("text"),
        "statements": ListOf("text"),
        "error_mode": OneOf(("ignore", "silent", "propagate")),
    }
)

COMPONENTS: Final[dict[str, dict[str, dict[str, Kind]]]] = {
    "extensions": {
        "health_check": {"endpoint": "address", "path": "text", "tls": _TLS_SERVER, "response_body": "text"},
        "file_storage": {
            "directory": "text",
            "create_directory": "flag",
            "directory_permissions": "text",
            "fsync": "flag",
            "timeout": "duration",
            "compaction": {
                "directory": "text",
                **dict.fromkeys(("on_start", "on_rebound", "cleanup_on_start"), "flag"),
                **dict.fromkeys(
                    ("max_transaction_size", "rebound_needed_threshold_mib", "rebound_trigger_threshold_mib"), "count"
                ),
                "check_interval": "duration",
            },
        },
        "bearertokenauth": {"scheme": "text", "header": "text", "filename": "text", "token": "text"},
    },
    "receivers": {
        "otlp": {
            "protocols": {
                "grpc": {
                    "endpoint": "address",
                    "max_recv_msg_size_mib": "count",
                    "max_concurrent_streams": "count",
                    "tls": _TLS_SERVER,
                    "auth": _AUTH,
                    "include_metadata": "flag",
                },
                "http": {
                    "endpoint": "address",
                    "max_request_body_size": "count",
                    "tls": _TLS_SERVER,
                    "auth": _AUTH,
                    "include_metadata": "flag",
                    **dict.fromkeys(("read_timeout", "read_header_timeout", "idle_timeout"), "duration"),
                },
            }
        }
    },
    "processors": {
        "memory_limiter": {
            "check_interval": "duration",
            **dict.fromkeys(("limit_mib", "spike_limit_mib"), "count"),
            **dict.fromkeys(("limit_percentage", "spike_limit_percentage"), "percent"),
        },
        "transform": {
            "error_mode": OneOf(("ignore", "silent", "propagate")),
            **dict.fromkeys(("trace_statements", "log_statements", "metric_statements"), _STATEMENTS),
        },
        "batch": {"timeout": "duration", "send_batch_size": "count", "send_batch_max_size": "count"},
    },
    "exporters": {
        "otlp_grpc": _OTLP_GRPC,
        "load_balancing": {
            "routing_key": OneOf(("traceID", "service", "resource", "metric", "streamID", "attributes")),
            "resolver": {
                "static": {"hostnames": ListOf("address")},
                "dns": {"hostname": "text", "port": "text", "interval": "duration", "timeout": "duration"},
            },
            "protocol": {"otlp": _WITHOUT_ENDPOINT},
            "timeout": "duration",
            "retry_on_failure": _RETRY,
            "sending_queue": _QUEUE,
        },
    },
}
"""Section to type of component to its settings."""

SERVICE: Final[dict[str, Kind]] = {
    "extensions": ListOf("component"),
    "telemetry": {
        "logs": {"level": OneOf(("debug", "info", "warn", "error")), "encoding": OneOf(("console", "json"))},
        "metrics": {
            "level": OneOf(("none", "basic", "normal", "detailed")),
            "readers": ListOf({"pull": {"exporter": {"prometheus": {"host": "text", "port": "count"}}}}),
        },
    },
}
"""What stands under `service`, but for the pipelines."""
