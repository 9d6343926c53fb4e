"""The decision log: one JSON record a line, in the order of the verdicts.

Opened for each batch by name, so that logrotate may move the file at any time.  A disk
that refuses is said once in the log; mail goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

_log = logging.getLogger("millrace.journal")
WAITING_MAX = 10_000
DELAY_S = 0.05


class Journal:
    """Collects records for a moment, then writes them together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._broken = False
        self.lost = 0

    def write(self, record: bytes) -> None:
        """Append one record soon."""
        if len(self._waiting) >= WAITING_MAX:
            self.lost += 1
            return
        self._waiting.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)

    def flush(self) -> None:
        """Write what is waiting, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        data = b"".join(record + b"\n" for record in self._waiting)
        try:
            self._append(data)
        except OSError as error:
            if not self._broken:
                _log.error("decisions are not written to %s: %s", self._path, error)
            self._broken = True
            self.lost += len(self._waiting)
        else:
            self._broken = False
        self._waiting.clear()

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # records name senders and recipients: for the owner's eyes alone
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
