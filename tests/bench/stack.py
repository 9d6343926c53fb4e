"""Servers that a measurement needs, each in the foreground, on one core, ended with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from . import processes

READY_S = 90.0
_SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Absent(Exception):
    """A server that is not installed, or does not start; says why."""


@dataclass(frozen=True)
class Target:
    """What mails are sent to: an address as Postfix writes it, and who serves it.

    `helpers` are the servers that it asks (redis, clamd, spamd), by name.
    """

    address: str
    pids: tuple[int, ...]
    helpers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Stack:
    """Starts servers in a folder; leaving it ends those, and no other."""

    def __init__(self, folder: Path, core: int) -> None:
        self.folder = folder
        self.core = core
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *trouble: object) -> None:
        self._exits.close()

    def later(self, undo: Sequence[str]) -> None:
        """Run this command at the end."""
        self._exits.callback(subprocess.run, undo, check=False, capture_output=True)

    def start(
        self, command: Sequence[str], ready: str, *, resolver: str = "", core: int | None = None
    ) -> int:
        """Start one and wait until it listens at `ready`; its process id.

        `resolver` is the name server of a program that only knows /etc/resolv.conf.
        """
        path = shutil.which(command[0], path=_SEARCHED)
        if path is None:
            raise Absent(f"{command[0]} is not installed")
        words = [path, *command[1:]]
        if resolver:
            words = [*self._resolving(resolver), *words]
        pinned = {self.core if core is None else core}
        log = self.folder / f"{Path(path).name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={"PATH": _SEARCHED, "LANG": "C.UTF-8"},
                preexec_fn=lambda: (os.sched_setaffinity(0, pinned), os.umask(0)),
            )
        self._exits.callback(_end, process)
        _await(process, ready, log)
        return process.pid

    def _resolving(self, server: str) -> list[str]:
        path = self.folder / "resolv.conf"
        path.write_text(f"nameserver {server}\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, str(path)]


def _end(process: subprocess.Popen[bytes]) -> None:
    below = processes.tree([process.pid])
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for pid in below - {process.pid}:  # children that outlive their parent, ours all the same
        with contextlib.suppress(OSError):
            os.kill(pid, 15)


def _await(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if answers(ready):
            return
        time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
    raise Absent(f"{log.stem} does not start: {last[0]}")


def answers(address: str) -> bool:
    """Whether somebody listens at `unix:PATH` or `inet:PORT@HOST`."""
    kind, _, where = address.partition(":")
    port, _, host = where.partition("@")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(where if kind == "unix" else (host, int(port)))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
