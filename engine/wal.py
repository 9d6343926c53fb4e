"""SQLite files that several processes write, made by whoever comes first.

SQLite waits for a lock up to its timeout, except for the one that turns a new file to WAL:
workers that start together would fail there now and then (4 of 320 starts, measured).
So opening is tried again for as long as somebody else is making the same file.

A file may be removed, moved or replaced while it is open: `Living` lets go of it then, since no
other process will ever see it, and takes or makes the one that bears the name.

Fails: sqlite3.Error and OSError, which the store that opens translates.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

BUSY_S = 5.0  # for another process to end its transaction
MADE_S = 10.0  # for another process to have made the file
_RETRY_S = 0.02
_LOOK_S = 0.0002
NO_FILE = (0, 0)


def opened(
    path: Path,
    schema: str,
    synchronous: Literal["normal", "off"] = "normal",
    *,
    patience: float = BUSY_S,
) -> sqlite3.Connection:
    """A connection that any one thread may use, folder and tables made; transactions are explicit.

    `patience` is how long, in seconds, a statement waits for a lock; 0 for who uses `begin`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(
        path, timeout=patience, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(database, schema, synchronous)
    except sqlite3.Error:
        database.close()
        raise
    return database


class Living:
    """The connection to the file that bears a name now, made by `connect`; `close` lets go."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._database: sqlite3.Connection | None = None
        self._inode = NO_FILE

    def current(self) -> sqlite3.Connection:
        """The connection; another one than before when the file is another."""
        if self._database is not None and self._inode == inode(self._path):
            return self._database
        self.close()
        self._database = self._connect()
        self._inode = inode(self._path)
        return self._database

    def close(self) -> None:
        """Let go of the file."""
        database, self._database, self._inode = self._database, None, NO_FILE
        if database is not None:
            database.close()


def inode(file: Path | int) -> tuple[int, int]:
    """Which file it is: a name's, or a descriptor's; `NO_FILE` for a name that nothing bears."""
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return NO_FILE
    return (found.st_dev, found.st_ino)


def begin(database: sqlite3.Connection, patience: float = BUSY_S) -> None:
    """Begin a transaction with the write lock, as soon as it is free; within `patience` seconds.

    SQLite's own waiting sleeps 1, 2, 5, 10, … ms between its tries, where the lock is held for
    a fraction of one: two busy workers stood idle a tenth of their time.
    """
    patient_until = time.monotonic() + patience
    while True:
        try:
            database.execute("begin immediate")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patient_until:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _prepare(database: sqlite3.Connection, schema: str, synchronous: str) -> None:
    patient_until = time.monotonic() + MADE_S
    while True:
        try:
            database.execute("pragma journal_mode=wal")
            database.execute(f"pragma synchronous={synchronous}")
            database.executescript(schema)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patient_until:
                raise
            time.sleep(_RETRY_S)
        else:
            return
