"""State in a file of its own: SQLite, WAL, several processes.

One lane for each worker takes all that is waiting in one transaction, so that the loop
never waits for a lock and a burst costs one commit.  A transaction takes the write lock
first (BEGIN IMMEDIATE), so that what it reads is what it changes.  Rows carry their end of
life; a sweep of some rows with each transaction keeps the file bounded.

A file that was taken away or replaced is let go of, and the one of that name is used or made.
A row that cannot be read, since somebody else wrote it or the disk forgot it, counts as none
and is written anew.

Fails: `Unavailable` when the file cannot be opened, locked or written.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from millrace.engine import wal
from millrace.engine.errors import Unavailable
from millrace.engine.lane import Lane
from millrace.engine.operations.operation import Operation, Outcome, Row

T = TypeVar("T")
BATCH_MAX = 64
SWEEP = 200  # rows that one transaction may bury
WAITING_MAX = 10_000
_SCHEMA = """
create table if not exists entry (
    key text primary key, row blob not null, until real not null) without rowid;
create index if not exists entry_until on entry (until);
drop table if exists greylist;
drop table if exists client;
"""
_FIND = "select row from entry where key = ? and until > ?"
_KEEP = """
insert into entry values (?, ?, ?)
on conflict (key) do update set row = excluded.row, until = excluded.until
"""
_BURY = "delete from entry where key in (select key from entry where until <= ? limit ?)"
_written = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, float]).decode


class EmbeddedState:
    """The State port on one SQLite file; open it after any fork.

    `scope` goes before each key; `now` is the time that all processes of the host share;
    other processes are waited for not longer than `timeout` seconds.
    """

    def __init__(
        self,
        path: Path,
        scope: str = "default",
        now: Callable[[], float] = time.time,
        timeout: float = wal.BUSY_S,
    ) -> None:
        self._path, self._now = path, now
        self._prefix = f"{scope}:"
        self._what = f"state file {path}"
        self._timeout = timeout
        self._living = wal.Living(path, self._connect)
        self._lane: Lane[Operation[Any], Any] = Lane(
            self._what, self._commit, batch_max=BATCH_MAX, waiting_max=WAITING_MAX
        )
        try:
            self._living.current()
            self._living.close()
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(self._what, str(error)) from None

    def _connect(self) -> sqlite3.Connection:
        return wal.opened(self._path, _SCHEMA, patience=0.0)

    async def ask(self, operation: Operation[T]) -> T:
        """Take one step; answered when it is committed."""
        answer: T = await self._lane.ask(operation)
        return answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take one step some time soon; lost when too much waits."""
        self._lane.tell(operation)

    async def ping(self) -> None:
        """Read once; raises `Unavailable` when the file is gone."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                db.execute("select 1 from entry limit 1").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(self._what, str(error)) from None

    async def close(self) -> None:
        """Write what is waiting, then close the file."""
        await self._lane.close()
        self._living.close()

    def _commit(self, batch: list[Operation[Any]]) -> Sequence[Any]:
        """In the lane's thread: one transaction for all that waited."""
        try:
            return self._transaction(self._living.current(), batch)
        except (sqlite3.Error, OSError) as error:
            self._living.close()
            return [Unavailable(self._what, str(error))] * len(batch)

    def _transaction(
        self, database: sqlite3.Connection, batch: list[Operation[Any]]
    ) -> Sequence[Any]:
        wal.begin(database, self._timeout)
        with database:  # commits, or rolls back
            now = self._now()  # behind the lock, so that no other process is ahead of us
            answers = [self._step(database, operation, now) for operation in batch]
            database.execute(_BURY, (now, SWEEP))
        return answers

    def _step(self, database: sqlite3.Connection, operation: Operation[T], now: float) -> T:
        keys = [self._prefix + key for key in operation.keys]
        rows = [_row(database.execute(_FIND, (key, now)).fetchone()) for key in keys]
        outcome = _outcome(operation, rows, now)
        for key, kept in zip(keys, outcome.keep, strict=False):
            if kept is not None:
                database.execute(_KEEP, (key, _written(kept.row), now + kept.seconds))
        return outcome.answer


def _row(found: tuple[Any] | None) -> Row | None:
    try:
        return _read(found[0]) if found else None
    except (msgspec.DecodeError, TypeError):  # not JSON, not a table of numbers, not even octets
        return None


def _outcome(operation: Operation[T], rows: Sequence[Row | None], now: float) -> Outcome[T]:
    try:
        return operation.step(rows, now)
    except LookupError:  # a row of another shape
        return operation.step([None] * len(rows), now)
