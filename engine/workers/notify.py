"""What systemd is told: ready, reloading, stopping, alive.  sd_notify(3).

Fails: never; without NOTIFY_SOCKET nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notify:
    """The way to the service manager; `interval` is how often it wants to hear, in seconds."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._path = "\0" + path[1:] if path.startswith("@") else path
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environment.get("WATCHDOG_USEC", "") if ours else ""
        self.interval = int(usec) / 2e6 if usec.isdigit() else 0.0
        self._told = 0.0

    def say(self, *lines: str) -> None:
        """Tell some of `READY=1`, `RELOADING=1`, `STOPPING=1`, `STATUS=…`."""
        if not self._path:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        ):
            sock.connect(self._path)
            sock.send("\n".join(lines).encode())

    def reloading(self) -> None:
        """A reload begins; `READY=1` ends it."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, now: float) -> None:
        """Pat the watchdog, when it is time."""
        if self.interval and now - self._told >= self.interval:
            self._told = now
            self.say("WATCHDOG=1")
