"""Handover: a supervisor becomes its new version, doors open all the while.

    rehearsal    the same command with --rehearse: does the new version like the settings?
    exec         the same process goes on as the new version: same pid, same children
    inherited    the new one takes over sockets, children and counters, then replaces each
                 child: the new one first, and the old one leaves when it is ready

What goes over stands in a file in memory, whose descriptor the environment names.  Until the
new version listens to them, a reload or restart that is asked for by signal is not heard: by
default either signal would end the process, and the new version reads all anew.

Fails: OSError when the new version cannot be executed; then everything stays as it was.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from millrace.engine.telemetry.merging import Family
from millrace.engine.workers.sockets import Key

VARIABLE = "_MILLRACE_HANDOVER"
HELD = "_MILLRACE_DOORS"
REHEARSE = "--rehearse"
REHEARSAL_S = 60.0
DEAF_TO = (signal.SIGHUP, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Ward:
    """A child that goes over: `sock` is our end of the talk with it, `halves` of messages."""

    pid: int
    slot: int
    sock: socket.socket
    leaving: bool
    halves: tuple[bytes, bytes]
    counted: list[Family]


@dataclass(frozen=True, slots=True)
class Estate:
    """All that goes over; `counted` by children that are gone."""

    wards: list[Ward] = field(default_factory=list)
    doors: dict[Key, list[socket.socket]] = field(default_factory=dict)
    counted: list[Family] = field(default_factory=list)
    restarts: int = 0


def command() -> list[str]:
    """How this very process was called."""
    return [sys.executable, *sys.orig_argv[1:]]


class Rehearsal:
    """A start that ends before any mail is taken; `doors` are those that are open already.

    Fails: OSError when it cannot even begin.
    """

    def __init__(self, what: list[str], doors: Iterable[Key] = ()) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `problem`
        self._until = time.monotonic() + REHEARSAL_S
        said, held = self._said, json.dumps(list(doors))
        try:
            self._process = subprocess.Popen(
                [*what, REHEARSE],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=os.environ | {HELD: held},
            )
        except OSError:
            said.close()
            raise

    def problem(self) -> str | None:
        """None while it is under way, "" when all is well, or what is wrong."""
        status = self._process.poll()
        if status is None:
            if time.monotonic() < self._until:
                return None
            self._process.kill()
            status = self._process.wait()
        with self._said as said:
            said.seek(0)
            text = said.read(1 << 16).decode("utf-8", "replace").strip()
        return "" if status == 0 else text or f"the new version ended with status {status}"


def held(environment: Mapping[str, str]) -> set[Key] | None:
    """In a rehearsal, the doors that are open already; None where nobody told."""
    told = environment.get(HELD)
    return {(address, n) for address, n in json.loads(told)} if told is not None else None


def bequeath(estate: Estate, what: list[str]) -> NoReturn:
    """Go on as the new version; returns only by OSError."""
    memory = os.memfd_create("millrace-handover", 0)
    heard = {each: signal.signal(each, signal.SIG_IGN) for each in DEAF_TO}
    try:
        os.write(memory, json.dumps(_as_json(estate)).encode())
        _let_through(estate, inheritable=True)
        os.environ[VARIABLE] = str(memory)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(what[0], what)
    finally:
        for each, handler in heard.items():
            signal.signal(each, handler)
        os.environ.pop(VARIABLE, None)
        _let_through(estate, inheritable=False)
        os.close(memory)


def _as_json(estate: Estate) -> dict[str, Any]:
    return {
        "wards": [
            [w.pid, w.slot, w.sock.fileno(), w.leaving, *(h.hex() for h in w.halves), w.counted]
            for w in estate.wards
        ],
        "doors": [[*key, [s.fileno() for s in socks]] for key, socks in estate.doors.items()],
        "counted": estate.counted,
        "restarts": estate.restarts,
    }


def _let_through(estate: Estate, *, inheritable: bool) -> None:
    for sock in [w.sock for w in estate.wards] + [s for d in estate.doors.values() for s in d]:
        os.set_inheritable(sock.fileno(), inheritable)


def inherited(environment: MutableMapping[str, str]) -> Estate | None:
    """What a supervisor before us left; None when there was none."""
    descriptor = environment.pop(VARIABLE, "")
    if not descriptor:
        return None
    with open(int(descriptor), "rb") as memory:
        memory.seek(0)
        data = json.loads(memory.read())
    return Estate(
        [_ward(*ward) for ward in data["wards"]],
        {(address, n): [_socket(fd) for fd in fds] for address, n, fds in data["doors"]},
        data["counted"],
        data["restarts"],
    )


def _ward(
    pid: int, slot: int, fd: int, leaving: bool, read: str, unsent: str, counted: list[Family]
) -> Ward:
    halves = (bytes.fromhex(read), bytes.fromhex(unsent))
    return Ward(pid, slot, _socket(fd), leaving, halves, counted)


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    # else a dup would make it blocking, for all processes that accept on it
    sock.setblocking(False)
    return sock
