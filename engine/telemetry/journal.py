"""The decision log: one JSON record a line, in the order of the verdicts.

Opened for each batch by name, so that logrotate may move the file at any time.  A disk
that refuses is said once in the log; mail goes on.  A record is whole or absent: what a full
disk took of one is cut off again, and half a line that a crash left is ended.  Workers share
the file: each writes under a shared lock, so that whoever mends an end, alone, takes no
neighbour's record under way for what a crash left.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path

_log = logging.getLogger("millrace.journal")
WAITING_MAX = 10_000
DELAY_S = 0.05
# a neighbour holds the lock for one write; one that was stopped in the midst of it holds nobody up
LOCK_TRIES = 20
LOCK_PAUSE_S = 0.001


class Journal:
    """Collects records for a moment, then writes them together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._broken = False
        self._known = False  # that the file ends with a line
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
        waiting, self._waiting = self._waiting, []
        lost, why = len(waiting), "the disk is full"
        try:
            lost -= self._append(b"".join(record + b"\n" for record in waiting))
        except OSError as error:
            why = str(error)
        if lost and not self._broken:
            _log.error("decisions are not written to %s: %s", self._path, why)
        self._broken = bool(lost)
        self.lost += lost

    def _append(self, data: bytes) -> int:
        """How many records were written."""
        descriptor = _opened(self._path)
        try:
            if not self._known or self._broken:
                _end_line(descriptor)
                self._known = True
            _lock(descriptor, fcntl.LOCK_SH)
            written = os.write(descriptor, data)
            if written == len(data):
                return data.count(b"\n")
            return _cut(descriptor, data[:written])
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    # records name senders and recipients: for the owner's eyes alone
    how = (os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return os.open(path, *how)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, *how)


def _lock(descriptor: int, how: int) -> None:
    """Held until the file is closed; without it the worst is an empty line, so go on then."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        except OSError:  # a file system without locks
            return
        else:
            return


def _end_line(descriptor: int) -> None:
    """End the line on which a crash left the file."""
    _lock(descriptor, fcntl.LOCK_EX)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def _cut(descriptor: int, written: bytes) -> int:
    """Take back the half record at the end; how many whole ones stand before it."""
    _lock(descriptor, fcntl.LOCK_EX)
    half = len(written) - (written.rfind(b"\n") + 1)
    end = os.lseek(descriptor, 0, os.SEEK_CUR)
    if os.fstat(descriptor).st_size == end:  # another process has written nothing behind it
        os.ftruncate(descriptor, end - half)
    return written.count(b"\n")
