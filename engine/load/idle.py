"""Connections that only stand there: opened, answered once, and then silent.

One address has some 28,000 ports to connect from, so on loopback each 20,000 connections
have a source address of their own: 127.0.0.2, 127.0.0.3, …  The limit of open files is
raised as far as it may be.

Fails: never for a connection; what could not be opened or was lost is counted, and why.
"""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from millrace.engine.errors import ProtocolError
from millrace.engine.load.drive import CHUNK, Talk
from millrace.engine.net.endpoint import Endpoint

PER_SOURCE = 20_000
SPARE_FILES = 64
_OPENING_MAX = 200  # asked for and not yet answered: the kernel's queue is not endless
_PATIENCE_S = 10.0


@dataclass(slots=True)
class Standing:
    """How far it got: `held` are open and were answered; `lost` were closed by the server."""

    wanted: int
    held: int = 0
    lost: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


def raise_file_limit(wanted: int) -> int:
    """Let this process have so many files; how many it may have now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    except (ValueError, OSError):  # only root may go beyond the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES


class Idle:
    """Opens `count` connections and keeps them until `close`."""

    def __init__(self, where: Endpoint, talk: Callable[[int], Talk], count: int) -> None:
        self._where = where
        self._talk = talk
        self.standing = Standing(count)
        self._selector = selectors.DefaultSelector()
        self._opening: dict[socket.socket, tuple[Talk, float]] = {}

    def open(self) -> Standing:
        """Open them, some hundreds at a time; ends early when no more can be had."""
        began = time.perf_counter()
        number, allowed = 0, raise_file_limit(self.standing.wanted)
        if allowed < self.standing.wanted:
            self.standing.errors["the limit of open files"] = self.standing.wanted - allowed
        while number < min(allowed, self.standing.wanted) or self._opening:
            while number < min(allowed, self.standing.wanted) and (
                len(self._opening) < _OPENING_MAX
            ):
                self._one(number)
                number += 1
            self._listen(0.1)
            self._give_up()
        self.standing.seconds = time.perf_counter() - began
        return self.standing

    def close(self) -> Standing:
        """Count those that are still there, and let all go."""
        self._listen(0.0)
        for key in list(self._selector.get_map().values()):
            self._drop(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()
        return self.standing

    def _one(self, number: int) -> None:
        sock = socket.socket(self._where.family, socket.SOCK_STREAM)
        try:
            if self._where.kind == "inet" and self._where.host.startswith("127."):
                sock.bind((f"127.0.{number // PER_SOURCE >> 8}.{2 + number // PER_SOURCE}", 0))
            sock.settimeout(_PATIENCE_S)
            unix = self._where.kind == "unix"
            sock.connect(self._where.path if unix else (self._where.host, self._where.port))
            talk = self._talk(number)
            sock.sendall(talk.opening())
        except OSError as error:
            self.standing.errors[(error.strerror or str(error)).lower()] += 1
            sock.close()
            return
        sock.setblocking(False)
        self._opening[sock] = talk, time.perf_counter()
        self._selector.register(sock, selectors.EVENT_READ)

    def _listen(self, wait: float) -> None:
        if not self._selector.get_map():
            return
        for key, _ in self._selector.select(wait):
            sock: socket.socket = key.fileobj  # type: ignore[assignment]
            try:
                data = sock.recv(CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            self._heard(sock, data)

    def _heard(self, sock: socket.socket, data: bytes) -> None:
        talk, _ = self._opening.pop(sock, (None, 0.0))
        if not data:
            if talk is None:
                self.standing.lost += 1
                self.standing.held -= 1
            else:
                self.standing.errors["hung up"] += 1
            self._drop(sock)
        elif talk is not None and self._welcome(talk, data):
            self.standing.held += 1
        elif talk is not None:
            self.standing.errors["refused"] += 1
            self._drop(sock)

    @staticmethod
    def _welcome(talk: Talk, data: bytes) -> bool:
        try:
            talk.receive(data)
        except ProtocolError:
            return False
        return not talk.verdict

    def _give_up(self) -> None:
        now = time.perf_counter()
        for sock, (_, began) in list(self._opening.items()):
            if now - began > _PATIENCE_S:
                del self._opening[sock]
                self.standing.errors["no answer"] += 1
                self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()
