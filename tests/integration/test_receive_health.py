"""Who asks how the collector is: gRPC's health service with its official client, and /readyz."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from receiving import Receiver, receiving
from spanledger_collector.disk import Disk
from spanledger_collector.supervise import Child, ChildCommand
from spanledger_collector.wal_writer import Limits
from waiting import wait_until

TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class SettableDisk(Disk):
    """A disk whose free room is set by the test."""

    free = 1 << 40

    def free_bytes(self, folder: Path) -> int:
        return self.free


@pytest.fixture
def disk() -> SettableDisk:
    return SettableDisk()


@pytest.fixture
def receiver(tmp_path: Path, disk: SettableDisk) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal", limits=Limits(free_bytes=1000), disk=disk) as open_receiver:
        yield open_receiver


@contextlib.contextmanager
def asking(receiver: Receiver) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", TRACES, "grpc.health.v1.Health"])
def test_check_says_whether_there_is_room(receiver: Receiver, disk: SettableDisk, service: str) -> None:
    with asking(receiver) as health:
        request = HealthCheckRequest(service=service)
        assert health.Check(request, timeout=20) == HealthCheckResponse(status=SERVING)
        disk.free = 0
        wait_until(lambda: health.Check(request, timeout=20).status == NOT_SERVING, what="not serving")


def test_a_service_that_is_not_there_is_not_found(receiver: Receiver) -> None:
    with asking(receiver) as health, pytest.raises(grpc.RpcError) as caught:
        health.Check(HealthCheckRequest(service="shop.Orders"), timeout=20)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_says_each_change_and_the_end(tmp_path: Path, disk: SettableDisk) -> None:
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving(tmp_path / "wal", limits=Limits(free_bytes=1000), disk=disk))
        with asking(receiver) as health:
            watching = health.Watch(HealthCheckRequest(), timeout=60)
            seen = [next(watching).status]
            for free in (0, 1 << 40):
                disk.free = free
                seen.append(next(watching).status)
            closing = threading.Thread(target=stack.close)
            closing.start()
            seen += [answer.status for answer in watching]
            closing.join()
    assert seen == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]


def test_watching_a_service_that_is_not_there_waits_for_it(receiver: Receiver) -> None:
    with asking(receiver) as health:
        watching = health.Watch(HealthCheckRequest(service="shop.Orders"), timeout=60)
        assert next(watching).status == HealthCheckResponse.SERVICE_UNKNOWN
        watching.cancel()


def test_those_who_watch_have_a_bound(receiver: Receiver) -> None:
    with asking(receiver) as health:
        watching = [health.Watch(HealthCheckRequest(), timeout=60) for _ in range(100)]
        assert [next(one).status for one in watching] == [SERVING] * 100
        with pytest.raises(grpc.RpcError) as caught:
            next(health.Watch(HealthCheckRequest(), timeout=60))
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        watching[0].cancel()

        def admitted() -> bool:
            with contextlib.suppress(grpc.RpcError):
                return bool(next(health.Watch(HealthCheckRequest(), timeout=60)).status == SERVING)
            return False

        wait_until(admitted, what="room for another")


def test_a_child_that_keeps_ending_is_told_with_how_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def troubles() -> tuple[str, str]:
        ending = Child(ChildCommand("convert", (sys.executable, "-c", "raise SystemExit(7)")))
        lasting = Child(ChildCommand("commit", (sys.executable, "-c", "import sys; sys.stdin.read()")))
        while not ending.trouble:
            await asyncio.sleep(0.01)
        found = (ending.trouble, lasting.trouble)
        await asyncio.gather(ending.stop(1), lasting.stop(1))
        return found

    assert asyncio.run(troubles()) == ("convert keeps ending (exit code 7); the collector's log says why", "")
