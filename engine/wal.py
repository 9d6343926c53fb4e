"""SQLite files that several processes write, made by whoever comes first.

SQLite waits for a lock up to its timeout, except for the one that turns a new file to WAL:
workers that start together would fail there now and then (4 of 320 starts, measured).
So opening is tried again for as long as somebody else is making the same file.

Fails: sqlite3.Error, which the store that opens translates.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Literal

BUSY_S = 5.0  # for another process to end its transaction
MADE_S = 10.0  # for another process to have made the file
_RETRY_S = 0.02
_LOOK_S = 0.0002


def opened(
    path: Path,
    schema: str,
    synchronous: Literal["normal", "off"] = "normal",
    *,
    patience: float = BUSY_S,
) -> sqlite3.Connection:
    """A connection that any one thread may use, its tables made; transactions are explicit.

    `patience` is how long, in seconds, a statement waits for a lock; 0 for who uses `begin`.
    """
    database = sqlite3.connect(
        path, timeout=patience, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(database, schema, synchronous)
    except sqlite3.Error:
        database.close()
        raise
    return database


def begin(database: sqlite3.Connection) -> None:
    """Begin a transaction with the write lock, as soon as it is free.

    SQLite's own waiting sleeps 1, 2, 5, 10, … ms between its tries, where the lock is held for
    a fraction of one: two busy workers stood idle a tenth of their time.
    """
    patient_until = time.monotonic() + BUSY_S
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
