"""A cluster of two nodes, asked at the one that doesn't have our keys: they lie together, on the other."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import NOW, budget, lease
from ports import own_port
from spanledger.guard.store import Account
from waiting import wait_until

pytest.importorskip("redis")
from redis import Redis
from redis.exceptions import RedisError

from spanledger.guard.redis_store import RedisStore

HALVES = ((0, 8191), (8192, 16383))


def is_whole(client: Any) -> bool:
    with contextlib.suppress(RedisError):
        told = client.execute_command("CLUSTER INFO")
        return b"cluster_state:ok" in told if isinstance(told, bytes) else told["cluster_state"] == "ok"
    return False


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[list[int]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs the program redis-server: apt-get install redis-server")
    ports: list[int] = []
    while len(ports) < len(HALVES):
        if (port := own_port(10_000)) not in ports:  # nodes talk by the one that is ten thousand above
            ports.append(port)
    options = ("--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", "", "--appendonly", "no")
    with contextlib.ExitStack() as stack:
        clients: list[Any] = []
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            process = subprocess.Popen([program, "--port", str(port), *options], cwd=folder, stdout=subprocess.DEVNULL)
            stack.callback(process.wait, 20)
            stack.callback(process.kill)
            clients.append(stack.enter_context(contextlib.closing(Redis(port=port))))
        for client, half in zip(clients, HALVES, strict=True):
            wait_until(lambda client=client: answers(client), timeout_s=60, what="a node that answers")  # type: ignore[misc]
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *half)
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
        wait_until(lambda: all(is_whole(client) for client in clients), timeout_s=60, what="a cluster")
        yield ports


def answers(client: Any) -> bool:
    with contextlib.suppress(RedisError):
        return bool(client.ping())
    return False


def test_a_store_in_a_cluster_is_found_at_whichever_node_is_named(ports: list[int]) -> None:
    for number, port in enumerate(ports):
        store = RedisStore(f"redis://127.0.0.1:{port}", timeout_s=30)
        store.reserve(str(number), [budget("b", 300), lease("l")], NOW)
        store.sent(str(number))
        assert store.settle(str(number), 250, 0, NOW)
        assert store.accounts() == [
            Account("b", "budget", "usd", 250 * (number + 1), 0, 0, NOW + 86_400_000),
            Account("l", "lease", "calls", 0, 0, 0, 0),
        ]
        store.close()
