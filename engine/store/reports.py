"""The store of DMARC reports: what we saw, what we sent, and what others told us.

One SQLite file, WAL, for several processes.  `observed` holds one row for mails alike of a
day, with their count, so its size follows the number of sources and not of mails; it is
bounded for each domain and as a whole, and what does not fit is counted (`lost`).

    observed   day, policy domain → how many mails of which kind
    held       how many rows of a day and domain there are, and how many mails are not in them
    sent       day, policy domain, destination → sent, refused, or being sent
    received   reports of others, each once by organization, id, domain and begin

Fails: `Unavailable` when the file is missing (to read), damaged, locked or full.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from millrace.engine import wal
from millrace.engine.errors import Unavailable
from millrace.engine.mailauth.reports.aggregate import DAY_S, Observation, Report

DOMAIN_ROWS_MAX = 5_000  # of one day and domain
ROWS_MAX = 500_000
RECEIVED_MAX = 100_000
SWEEP = 500  # rows that one transaction may bury
CLAIM_S = 900.0  # after that a sender that died is thought dead
KEEP_S = 30 * DAY_S
KEEP_RECEIVED_S = 400 * DAY_S
_SCHEMA = """
create table if not exists observed (
    day integer not null, domain text not null, digest blob not null, seen blob not null,
    count integer not null, last real not null,
    primary key (day, domain, digest)) without rowid;
create table if not exists held (
    day integer not null, domain text not null, rows integer not null, lost integer not null,
    primary key (day, domain)) without rowid;
create table if not exists sent (
    day integer not null, domain text not null, destination text not null, state text not null,
    until real not null, note text not null,
    primary key (day, domain, destination)) without rowid;
create table if not exists received (
    id integer primary key, organization text not null, report text not null, domain text not null,
    begun integer not null, ended integer not null, taken real not null, content blob not null,
    unique (organization, report, domain, begun));
create table if not exists identity (one integer primary key check (one = 1), name text not null);
create index if not exists received_domain on received (domain, ended);
"""
Key = tuple[int, str, bytes]  # day, policy domain, an observation as JSON
_encode = msgspec.json.Encoder().encode
_observation = msgspec.json.Decoder(Observation).decode
_report = msgspec.json.Decoder(Report).decode


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of mail of a day: how many, and when the last came (Unix seconds)."""

    observation: Observation
    count: int
    last: float


class ReportStore:
    """One file; open it after any fork.  Without `create` it must be there."""

    def __init__(self, path: Path, keep_seconds: float = KEEP_S, *, create: bool = True) -> None:
        self.path = path
        self._keep = keep_seconds
        self._create = create
        self._what = f"report store {path}"
        self._living = wal.Living(path, self._connect)

    @contextlib.contextmanager
    def _using(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            database = self._living.current()
            if not write:
                yield database
                return
            database.execute("begin immediate")
            with database:  # commits, or rolls back
                yield database
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Unavailable(self._what, str(error)) from None
        except msgspec.MsgspecError as error:
            raise Unavailable(self._what, f"holds what cannot be read: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        if not self._create and not self.path.exists():
            raise Unavailable(self._what, "there is none yet: no mail was noted, no report read")
        return wal.opened(self.path, _SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._living.close()

    # --- what we saw

    def note(self, tally: Mapping[Key, int], now: float) -> None:
        """Add what was counted since the last time, in one transaction."""
        with self._using(write=True) as database:
            room = ROWS_MAX - _one(database, "select coalesce(sum(rows), 0) from held")
            for key, count in tally.items():
                room -= _noted(database, key, count, now, room)
            oldest = int((now - self._keep) // DAY_S)
            for table in ("observed", "held", "sent"):
                row = "day, domain, digest" if table == "observed" else "day, domain"
                database.execute(
                    f"delete from {table} where ({row}) in"
                    f" (select {row} from {table} where day < ? limit ?)",
                    (oldest, SWEEP),
                )

    def days(self, domain: str = "") -> list[tuple[int, str]]:
        """Each day and policy domain of which something was seen, the eldest first."""
        with self._using() as database:
            found = database.execute(
                "select day, domain from held where domain <> '' order by 1, 2"
            )
            return [(day, name) for day, name in found if domain in ("", name)]

    def seen(self, day: int, domain: str) -> tuple[list[Seen], int]:
        """What was seen of a domain's mail on a day, and how many mails did not fit."""
        with self._using() as database:
            found = database.execute(
                "select seen, count, last from observed"
                " where day = ? and domain = ? order by digest",
                (day, domain),
            )
            kinds = [Seen(_observation(row[0]), row[1], row[2]) for row in found]
            return kinds, _one(
                database,
                "select coalesce(sum(lost), 0) from held where day = ? and domain = ?",
                (day, domain),
            )

    # --- what we sent

    def identity(self) -> str:
        """A word that is this store's alone: two hosts' reports must not bear the same id."""
        with self._using() as database:
            known = database.execute("select name from identity").fetchone()
        if known is not None:
            return str(known[0])
        with self._using(write=True) as database:
            database.execute(
                "insert or ignore into identity values (1, ?)", (secrets.token_hex(8),)
            )
            return str(database.execute("select name from identity").fetchone()[0])

    def claim(
        self, day: int, domain: str, destination: str, now: float, *, refused: bool = False
    ) -> str:
        """Take it upon us to send one report to one address; "" or why not.

        With `refused`, one that was refused earlier may be claimed too.

        Who dies before `settle` is thought dead after a quarter of an hour; then another
        may send the same report once more, by the same id.
        """
        key = (day, domain, destination)
        with self._using(write=True) as database:
            row = database.execute(
                "select state, until from sent where day = ? and domain = ? and destination = ?",
                key,
            ).fetchone()
            free = row is None or (row[0] == "sending" and row[1] <= now)
            if not free and not (refused and row[0] == "refused"):
                return str(row[0])
            database.execute(
                "insert or replace into sent values (?, ?, ?, 'sending', ?, '')",
                (*key, now + CLAIM_S),
            )
            return ""

    def settle(self, day: int, domain: str, destination: str, state: str, note: str = "") -> None:
        """Say what became of it: "sent", "refused", or "again" to let go of it."""
        key = (day, domain, destination)
        with self._using(write=True) as database:
            if state == "again":
                database.execute(
                    "delete from sent where day = ? and domain = ? and destination = ?", key
                )
                return
            database.execute("insert or replace into sent values (?, ?, ?, ?, 0, ?)",
                             (*key, state, note[:500]))  # fmt: skip

    def state(self, day: int, domain: str, destination: str) -> str:
        """What became of one report for one address; "" when nothing yet."""
        with self._using() as database:
            row = database.execute(
                "select state from sent where day = ? and domain = ? and destination = ?",
                (day, domain, destination),
            ).fetchone()
            return str(row[0]) if row is not None else ""

    # --- what others told us

    def take(self, report: Report, now: float) -> bool:
        """Keep a report; False when it was here before."""
        with self._using(write=True) as database:
            database.execute("delete from received where taken < ?", (now - KEEP_RECEIVED_S,))
            if _one(database, "select count(*) from received") >= RECEIVED_MAX:
                raise Unavailable(self._what, f"holds {RECEIVED_MAX} reports and takes no more")
            added = database.execute(
                "insert or ignore into received values (null, ?, ?, ?, ?, ?, ?, ?)",
                (report.organization, report.id, report.published.domain, report.begin, report.end,
                 now, _encode(report)),
            )  # fmt: skip
            return added.rowcount > 0

    def latest(self, domain: str) -> int:
        """When the last report about a domain ends, Unix seconds; 0 without any."""
        with self._using() as database:
            sql = "select coalesce(max(ended), 0) from received where domain = ?"
            return _one(database, sql, (domain,))

    def reports(self, domain: str, since: float) -> Iterator[Report]:
        """The reports about a domain, or one below it, that end after a moment."""
        with self._using() as database:
            found = database.execute(
                "select content from received where ended >= ?"
                " and (domain = ? or substr(domain, -length(?)) = ?) order by begun, id",
                (since, domain, "." + domain, "." + domain),
            )
            for (content,) in found:
                yield _report(content)


def _one(database: sqlite3.Connection, sql: str, values: Iterable[object] = ()) -> int:
    return int(database.execute(sql, tuple(values)).fetchone()[0])


def key_of(day: int, seen: Observation) -> Key:
    """What mails alike share."""
    return day, seen.published.domain, _encode(seen)


def _noted(database: sqlite3.Connection, key: Key, count: int, now: float, room: int) -> int:
    """Count mails of one kind; answers how many rows it took."""
    day, domain, content = key
    digest = hashlib.blake2b(content, digest_size=16).digest()
    known = database.execute(
        "update observed set count = count + ?, last = ?"
        " where day = ? and domain = ? and digest = ?",
        (count, now, day, domain, digest),
    )
    if known.rowcount:
        return 0
    held = database.execute(
        "select rows from held where day = ? and domain = ?", (day, domain)
    ).fetchone()
    fits = room > 0 and (held is None or held[0] < DOMAIN_ROWS_MAX)
    if fits:
        database.execute("insert into observed values (?, ?, ?, ?, ?, ?)",
                         (day, domain, digest, content, count, now))  # fmt: skip
    named = domain if held is not None or fits else ""  # a flood of domains is one line
    database.execute(
        "insert into held values (?, ?, ?, ?) on conflict (day, domain)"
        " do update set rows = rows + excluded.rows, lost = lost + excluded.lost",
        (day, named, int(fits), 0 if fits else count),
    )
    return int(fits)
