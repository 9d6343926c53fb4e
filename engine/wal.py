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


def opened(
    path: Path, schema: str, synchronous: Literal["normal", "off"] = "normal"
) -> sqlite3.Connection:
    """A connection that any one thread may use, its tables made; transactions are explicit."""
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, schema, synchronous)
    except sqlite3.Error:
        database.close()
        raise
    return database


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
