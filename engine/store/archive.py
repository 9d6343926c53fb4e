"""The archive: every mail that we take, by its content, durable before the answer.

Mails go to append-only segments, compressed with zstd, several with one sync ("group
commit": what waits while the disk works goes together).  The same content is kept once;
each mail has its own entry.  The index is SQLite and can be made again from the segments.

    segments/<time>-<process>-<n>.seg    records: B = content, E = entry
    index.db                             where content and entries stand

A folder that is taken away is begun anew, and the log says so; the mail whose record went with
it is not accepted.  What another process prunes meanwhile, no mail relies on: the index decides,
in one transaction, whether a mail's content is there.

Fails: `Unavailable` when the disk refuses; then the mail must not be accepted.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from millrace.engine import wal
from millrace.engine.errors import Unavailable
from millrace.engine.lane import Lane
from millrace.engine.mail.edits import Edited
from millrace.engine.ports import Receipt
from millrace.engine.store.segments import (
    HEAD_SIZE,
    Scan,
    SegmentWriter,
    cut,
    packed,
    records,
    sync_folder,
    written,
)

_log = logging.getLogger("millrace.archive")
LEVEL = 3
ROLL_AT = 64 << 20
BATCH_MAX = 50
TOGETHER_MAX = 8 << 20  # octets of mails that are compressed before one sync
_DAMAGED = re.compile("not a database|malformed")
_DIGEST = 32  # octets of a SHA-256
WAITING_MAX = 1000
_SCHEMA = """
create table if not exists content (
    sha256 text primary key, segment text not null, at integer not null,
    stored integer not null, size integer not null) without rowid;
create table if not exists entry (
    segment text not null, at integer not null, id text not null, time real not null,
    sender text not null, recipients text not null, sha256 text not null,
    until real not null, primary key (segment, at)) without rowid;
create index if not exists entry_id on entry (id);
create index if not exists entry_sha256 on entry (sha256);
create table if not exists segment (name text primary key, whole integer not null) without rowid;
"""


class Entry(msgspec.Struct, frozen=True):
    """One archived mail; `until` is the end of its keeping in Unix seconds, 0 for ever."""

    id: str
    time: float
    sender: str
    recipients: list[str]
    sha256: str
    size: int
    until: float


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening found: records that the index did not know, and torn octets cut off."""

    indexed: int
    torn: int


class _Asked(NamedTuple):
    mail: Edited
    now: float
    keep_seconds: float


_Row = tuple[str, tuple[object, ...]]


class _Content(NamedTuple):
    """A mail's octets as they stand in a segment."""

    sha256: str
    size: int
    record: list[bytes]
    length: int  # of the record

    def row(self, segment: str, at: int) -> _Row:
        """For the index; `at` is where the record begins."""
        before = HEAD_SIZE + _DIGEST
        where = (segment, at + before, self.length - before, self.size)
        return _ADD_CONTENT, (self.sha256, *where)


class Archive:
    """The Store port on a folder; open it after any fork.

    Who is only `looking` gets along without an index that can be written: a full disk is where
    one wants to read and to prune.
    """

    def __init__(self, folder: Path, roll_at: int = ROLL_AT, *, looking: bool = False) -> None:
        self._folder = folder
        self._segments = folder / "segments"
        self._writer = SegmentWriter(self._segments, roll_at)
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._what = f"archive {folder}"
        self._living = wal.Living(folder / "index.db", self._connect)
        self._index: sqlite3.Connection | None = None  # to which the open segment belongs
        self._lane: Lane[_Asked, Receipt] = Lane(
            self._what, self._keep_all, batch_max=BATCH_MAX, waiting_max=WAITING_MAX
        )
        self._spare: sqlite3.Connection | None = None  # an index in memory
        try:
            self._segments.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as index:
                self.opened = _catch_up(index, self._segments)
        except (OSError, sqlite3.Error) as error:
            if not looking or isinstance(error, OSError):
                raise Unavailable(self._what, _mended(error)) from None
            _log.warning("%s: the index cannot be used (%s): read from the segments", folder, error)
            self._read_segments()

    def _connect(self) -> sqlite3.Connection:
        # without syncing: it can be made again from the segments
        return wal.opened(self._folder / "index.db", _SCHEMA, "off")

    # --- writing

    async def keep(self, mail: Edited, now: float, keep_seconds: float) -> Receipt:
        """Return when the mail is on disk; `keep_seconds` 0 keeps it for ever."""
        return await self._lane.ask(_Asked(mail, now, keep_seconds))

    async def close(self) -> None:
        """Write what is waiting, then close the files."""
        await self._lane.close()
        self._writer.close()
        self._living.close()
        self._index = None

    def _keep_all(self, batch: list[_Asked]) -> Sequence[Receipt | Unavailable]:
        """In the lane's thread: one sync for all that waited; large ones go by themselves."""
        found: list[Receipt | Unavailable] = []
        for part in _parts(batch):
            try:
                found += self._commit(self._current(), part)
            except (OSError, sqlite3.Error) as error:
                found += [Unavailable(self._what, str(error))] * len(part)
        return found

    def _current(self) -> sqlite3.Connection:
        """The index; a new one holds each of its segments from the first record on."""
        index = self._living.current()
        if index is not self._index:
            if self._index is not None:
                _log.error("%s was taken away: a new one is begun", self._what)
            self._writer.close()
            self._index = index
        return index

    def _commit(self, index: sqlite3.Connection, batch: list[_Asked]) -> list[Receipt]:
        """Append all, sync once, then index: the order that a crash may interrupt anywhere."""
        receipts: list[Receipt] = []
        rows: list[_Row] = []
        data: list[bytes] = []
        contents: dict[str, _Content] = {}
        spared: set[str] = set()  # contents that stand elsewhere
        at = before = self._writer.begin(batch[0].now)
        name = self._writer.name
        for asked in batch:
            content = self._content(asked.mail)
            sha256 = content.sha256
            known = sha256 in contents or self._has(index, sha256)
            if not known:
                data += content.record
                rows.append(content.row(name, at))
                at += content.length
            elif sha256 not in contents:
                spared.add(sha256)
            contents[sha256] = content
            entry = _entry(asked, sha256, content.size)
            told = msgspec.json.encode(entry)
            data += packed(b"E", told)
            rows.append((_ADD_ENTRY, _entry_row(name, at + HEAD_SIZE, entry)))
            at += HEAD_SIZE + len(told)
            receipts.append(Receipt(sha256, content.size, known))
        self._writer.commit(data)
        try:
            with _transaction(index):
                gone = [contents[each] for each in spared if not _stands(index, each)]
                rows += self._pruned(gone)
                _run(index, [*rows, (_ADD_SEGMENT, (name, self._writer.size))])
        except (OSError, sqlite3.Error):
            self._writer.take_back(before)  # the mails come again, and would stand there twice
            raise
        return receipts

    def _pruned(self, contents: list[_Content]) -> list[_Row]:
        """Write what stood elsewhere, and was pruned since we looked."""
        rows, at = [], self._writer.size
        for content in contents:
            rows.append(content.row(self._writer.name, at))
            at += content.length
        if contents:
            self._writer.commit([piece for content in contents for piece in content.record])
        return rows

    def _has(self, index: sqlite3.Connection, sha256: str) -> bool:
        """Whether a content is kept, in a segment that nobody has taken away."""
        segment = _stands(index, sha256)
        return bool(segment) and (self._segments / segment).exists()

    def _content(self, mail: Edited) -> _Content:
        digest, size = hashlib.sha256(), 0
        compress = self._compressor.compressobj()
        stored: list[bytes] = []
        for chunk in mail.message.chunks():
            digest.update(chunk)
            size += len(chunk)
            if piece := compress.compress(chunk):
                stored.append(piece)
        stored.append(compress.flush())
        record = packed(b"B", digest.digest(), *stored)
        return _Content(digest.hexdigest(), size, record, sum(map(len, record)))

    # --- reading, for people

    def _read_segments(self) -> None:
        self._spare = sqlite3.connect(":memory:", isolation_level=None)
        self._spare.executescript(_SCHEMA)
        self.opened = _catch_up(self._spare, self._segments)

    def _looked_into(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        if self._spare is not None:
            return contextlib.nullcontext(self._spare)
        return contextlib.closing(self._connect())

    def entries(self, wanted: str = "") -> Iterator[Entry]:
        """All entries, the eldest first, or those whose id or SHA-256 begins so."""
        with self._looked_into() as index:
            found = index.execute(
                "select id, time, sender, recipients, entry.sha256, size, until from entry"
                " join content using (sha256) where id = ? or entry.sha256 like ? order by time",
                (wanted, wanted + "%"),
            )
            for row in found:
                yield Entry(row[0], row[1], row[2], row[3].split("\n"), row[4], row[5], row[6])

    def content(self, sha256: str) -> bytes:
        """A mail's octets; LookupError when it is not there, Unavailable when it is damaged."""
        with self._looked_into() as index:
            row = index.execute(
                "select segment, at, stored, size from content where sha256 = ?", (sha256,)
            ).fetchone()
        if row is None:
            raise LookupError(sha256)
        try:
            with (self._segments / row[0]).open("rb") as segment:
                segment.seek(row[1])
                stored = segment.read(row[2])
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
        except (OSError, zstandard.ZstdError) as error:
            raise Unavailable(self._what, f"{sha256}: {error}") from None
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise Unavailable(self._what, f"{sha256} does not match its content")
        return raw

    def prune(self, now: float) -> list[str]:
        """Remove the segments of which no content is kept any longer; returns their names."""
        with self._looked_into() as index, _transaction(index):
            kept = {name for (name,) in index.execute(_KEPT, (now, now))}
            names = [name for (name,) in index.execute("select name from segment")]
            gone = [n for n in names if n not in kept and not written(self._segments / n)]
            _run(index, [(sql, (name,)) for name in gone for sql in _FORGET])
        for name in gone:
            (self._segments / name).unlink(missing_ok=True)
        if gone:
            sync_folder(self._segments)
        if gone and self._spare is not None:  # now there may be room to write it down, too
            self._spare = None
            with contextlib.suppress(sqlite3.Error):
                self.prune(now)
        return gone


_ADD_CONTENT = "insert or replace into content values (?, ?, ?, ?, ?)"
_ADD_ENTRY = "insert or replace into entry values (?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_SEGMENT = "insert or replace into segment values (?, ?)"
_KEPT = (
    "select distinct content.segment from entry join content using (sha256)"
    " where until = 0 or until > ?"
    " union select distinct segment from entry where until = 0 or until > ?"
)
_FORGET = (
    "delete from content where segment = ?",
    "delete from entry where segment = ?",
    "delete from segment where name = ?",
)


@contextlib.contextmanager
def _transaction(index: sqlite3.Connection) -> Iterator[None]:
    """Nobody else writes meanwhile; all is written, or nothing."""
    index.execute("begin immediate")
    with index:  # commits, or rolls back
        yield


def _run(index: sqlite3.Connection, rows: Iterable[_Row]) -> None:
    for sql, values in rows:
        index.execute(sql, values)


def _mended(error: Exception) -> str:
    """What the error says, and how to mend an index that is damaged."""
    hint = "; move index.db* away: it is made again" if _DAMAGED.search(str(error)) else ""
    return f"{error}{hint}"


def _stands(index: sqlite3.Connection, sha256: str) -> str:
    """The segment in which a content is kept, "" for none."""
    row = index.execute("select segment from content where sha256 = ?", (sha256,)).fetchone()
    return str(row[0]) if row else ""


def _parts(batch: list[_Asked]) -> Iterator[list[_Asked]]:
    """Mails of so many octets in all as may lie in memory together, or one that is larger."""
    part: list[_Asked] = []
    size = 0
    for asked in batch:
        size += asked.mail.message.size
        if part and size > TOGETHER_MAX:
            yield part
            part, size = [], asked.mail.message.size
        part.append(asked)
    yield part


def _entry(asked: _Asked, sha256: str, size: int) -> Entry:
    envelope = asked.mail.envelope
    until = asked.now + asked.keep_seconds if asked.keep_seconds else 0.0
    recipients = [str(recipient) for recipient in envelope.recipients]
    return Entry(envelope.id, asked.now, str(envelope.sender), recipients, sha256, size, until)


def _entry_row(segment: str, at: int, entry: Entry) -> tuple[object, ...]:
    recipients = "\n".join(entry.recipients)
    who = (entry.id, entry.time, entry.sender, recipients)
    return (segment, at, *who, entry.sha256, entry.until)


def _catch_up(index: sqlite3.Connection, folder: Path) -> Opened:
    """Index what a crash left unindexed, and cut torn ends off."""
    known = dict(index.execute("select name, whole from segment"))
    indexed = torn = 0
    for path in sorted(folder.glob("*.seg")):
        if known.get(path.name) == path.stat().st_size:
            continue
        scan = Scan()
        rows: list[_Row] = []
        for record in records(path, scan, known.get(path.name, 0)):
            indexed += 1
            if record.kind == b"B":
                sha256, stored = record.payload[:_DIGEST].hex(), record.payload[_DIGEST:]
                size = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
                where = (sha256, path.name, record.at + _DIGEST, len(stored), len(size))
                rows.append((_ADD_CONTENT, where))
            else:
                entry = msgspec.json.decode(record.payload, type=Entry)
                rows.append((_ADD_ENTRY, _entry_row(path.name, record.at, entry)))
        rows.append((_ADD_SEGMENT, (path.name, scan.whole)))
        if scan.torn and cut(path, scan.whole):
            torn += scan.torn
        with _transaction(index):
            _run(index, rows)
    return Opened(indexed, torn)
