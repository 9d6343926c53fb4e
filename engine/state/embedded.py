"""State in a file of its own: SQLite, WAL, several processes.

One lane for each worker takes all that is waiting in one transaction, so that the loop
never waits for a lock and a burst costs one commit.  Rows carry their end of
life; a sweep of some rows with each transaction keeps the file bounded.

Fails: `Unavailable` when the file cannot be opened, locked or written.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from millrace.engine import wal
from millrace.engine.errors import Unavailable
from millrace.engine.lane import Lane
from millrace.engine.ports import GreylistTerms, Visit
from millrace.engine.state.greylisting import Row, step

BATCH_MAX = 64
SWEEP = 200  # rows that one transaction may bury
WAITING_MAX = 10_000
_SCHEMA = """
create table if not exists greylist (
    triplet text primary key, first real not null, passed integer not null,
    passes integer not null, until real not null) without rowid;
create index if not exists greylist_until on greylist (until);
create table if not exists client (
    client text primary key, passes integer not null, until real not null) without rowid;
create index if not exists client_until on client (until);
"""


class _Asked(NamedTuple):
    triplet: str
    client: str
    now: float
    terms: GreylistTerms


class EmbeddedState:
    """The State port on one SQLite file; open it after any fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._what = f"state file {path}"
        self._database: sqlite3.Connection | None = None
        self._lane: Lane[_Asked, Visit] = Lane(
            self._what, self._commit, batch_max=BATCH_MAX, waiting_max=WAITING_MAX
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connect().close()
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(self._what, str(error)) from None

    def _connect(self) -> sqlite3.Connection:
        return wal.opened(self._path, _SCHEMA)

    async def visit(self, triplet: str, client: str, now: float, terms: GreylistTerms) -> Visit:
        """Note one visit; answered when it is committed."""
        return await self._lane.ask(_Asked(triplet, client, now, terms))

    async def ping(self) -> None:
        """Read once; raises `Unavailable` when the file is gone."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                db.execute("select 1 from greylist limit 1").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(self._what, str(error)) from None

    async def close(self) -> None:
        """Write what is waiting, then close the file."""
        await self._lane.close()
        self._drop()

    def _commit(self, batch: list[_Asked]) -> Sequence[Visit | Unavailable]:
        """In the lane's thread: one transaction for all that waited."""
        try:
            self._database = self._database or self._connect()
            return _transaction(self._database, batch)
        except sqlite3.Error as error:
            self._drop()
            return [Unavailable(self._what, str(error))] * len(batch)

    def _drop(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _transaction(database: sqlite3.Connection, batch: list[_Asked]) -> list[Visit]:
    database.execute("begin immediate")
    with database:  # commits, or rolls back
        answers = [_visited(database, asked) for asked in batch]
        _sweep(database, batch[-1].now)
    return answers


def _visited(database: sqlite3.Connection, asked: _Asked) -> Visit:
    found = database.execute(
        "select first, passed, passes, until from greylist where triplet = ?", (asked.triplet,)
    ).fetchone()
    row = Row(found[0], bool(found[1]), found[2], found[3]) if found else None
    passes = database.execute(
        "select passes from client where client = ? and until > ?", (asked.client, asked.now)
    ).fetchone()
    result = step(row, passes[0] if passes else 0, asked.now, asked.terms)
    if result.row is not None:
        kept = result.row
        database.execute(
            "insert into greylist values (?, ?, ?, ?, ?) on conflict (triplet) do update set"
            " first = excluded.first, passed = excluded.passed, passes = excluded.passes,"
            " until = excluded.until",
            (asked.triplet, kept.first, kept.passed, kept.passes, kept.until),
        )
    if result.client_passed:
        database.execute(
            "insert into client values (?, 1, ?) on conflict (client) do update set"
            " passes = case when until > ? then passes + 1 else 1 end, until = excluded.until",
            (asked.client, asked.now + asked.terms.lifetime, asked.now),
        )
    return result.visit


def _sweep(database: sqlite3.Connection, now: float) -> None:
    for table, key in (("greylist", "triplet"), ("client", "client")):
        database.execute(
            f"delete from {table} where {key} in"
            f" (select {key} from {table} where until <= ? limit ?)",
            (now, SWEEP),
        )
