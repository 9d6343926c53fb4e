"""Redis servers of our own: one, three as a cluster, a master with a replica and a Sentinel."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from conftest import free_port, listens, needs, wait_for
from live.parties import CLEAN


class RedisServer:
    """One server that remembers nothing; a context manager."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        program = needs("redis-server", "redis-server")
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command = [program, *where, "--save", "", *self.options]
        self.process = subprocess.Popen(command, env=CLEAN, stdout=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port), "redis-server")
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def says(self, *command: str) -> str:
        """What redis-cli prints."""
        cli = [needs("redis-cli", "redis-server"), "-p", str(self.port), *command]
        done = subprocess.run(cli, env=CLEAN, capture_output=True, text=True, check=True)
        return done.stdout.strip()


def cluster(stack: ExitStack, folder: Path) -> list[RedisServer]:
    """Three nodes that share the slots."""
    enabled = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    nodes = [stack.enter_context(RedisServer(folder, *enabled)) for _ in range(3)]
    addresses = [node.address for node in nodes]
    nodes[0].says("--cluster", "create", *addresses, "--cluster-yes")
    for node in nodes:
        wait_for(lambda n=node: "cluster_state:ok" in n.says("cluster", "info"), "cluster")
    return nodes


def watched(stack: ExitStack, folder: Path) -> tuple[RedisServer, RedisServer, str]:
    """A master, its replica, and the address of the Sentinel that knows them as `mill`."""
    master = stack.enter_context(RedisServer(folder))
    replica = RedisServer(folder, "--replicaof", "127.0.0.1", str(master.port))
    stack.enter_context(replica)
    wait_for(lambda: "master_link_status:up" in replica.says("info"), "replica")
    port = free_port()
    conf = folder / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor mill 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds mill 800\n"
        "sentinel failover-timeout mill 5000\n"
    )
    command = [needs("redis-server", "redis-server"), str(conf), "--sentinel"]
    sentinel = subprocess.Popen(command, env=CLEAN, stdout=subprocess.DEVNULL)
    stack.callback(sentinel.wait)
    stack.callback(sentinel.kill)
    wait_for(lambda: listens(port), "sentinel")
    watcher = RedisServer(folder, port=port)
    wait_for(lambda: "slaves=1" in watcher.says("info", "sentinel"), "sentinel sees the replica")
    return master, replica, f"127.0.0.1:{port}"


def keys(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    made, key = folder / "redis.pem", folder / "redis.key"
    command = [needs("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    command += ["-subj", "/CN=redis.example", "-days", "2", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key
