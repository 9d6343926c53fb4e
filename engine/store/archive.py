"""The archive: every mail that we take, by its content, durable before the answer.

Mails go to append-only segments, compressed with zstd, several with one sync ("group
commit": what waits while the disk works goes together).  The same content is kept once;
each mail has its own entry.  The index is SQLite and can be made again from the segments.

    segments/<time>-<process>-<n>.seg    records: B = content, E = entry
    index.db                             where content and entries stand

Fails: `Unavailable` when the disk refuses; then the mail must not be accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from millrace.engine.errors import Unavailable
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
)

LEVEL = 3
ROLL_AT = 64 << 20
BATCH_MAX = 50
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
    answer: asyncio.Future[Receipt]
    loop: asyncio.AbstractEventLoop


class Archive:
    """The Store port on a folder; open it after any fork."""

    def __init__(self, folder: Path, roll_at: int = ROLL_AT) -> None:
        self._folder = folder
        self._segments = folder / "segments"
        self._writer = SegmentWriter(self._segments, roll_at)
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._asked: queue.Queue[_Asked | None] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        try:
            self._segments.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as index:
                self.opened = _catch_up(index, self._segments)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"archive {folder}", str(error)) from None

    def _connect(self) -> sqlite3.Connection:
        index = sqlite3.connect(self._folder / "index.db", timeout=5, isolation_level=None)
        index.execute("pragma journal_mode=wal")
        index.execute("pragma synchronous=off")  # it can be made again from the segments
        index.executescript(_SCHEMA)
        return index

    # --- writing

    async def keep(self, mail: Edited, now: float, keep_seconds: float) -> Receipt:
        """Return when the mail is on disk; `keep_seconds` 0 keeps it for ever."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="archive", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        try:
            self._asked.put_nowait(_Asked(mail, now, keep_seconds, answer, loop))
        except queue.Full:
            raise Unavailable(f"archive {self._folder}", "too much is waiting") from None
        return await answer

    async def close(self) -> None:
        """Write what is waiting, then end the thread."""
        if self._thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)
        self._writer.close()

    def _write(self) -> None:
        with contextlib.closing(self._connect()) as index:
            while (batch := self._batch()) is not None:
                _tell(batch, self._answers(index, batch))

    def _answers(
        self, index: sqlite3.Connection, batch: list[_Asked]
    ) -> Sequence[Receipt | Unavailable]:
        try:
            return self._commit(index, batch)
        except (OSError, sqlite3.Error) as error:
            return [Unavailable(f"archive {self._folder}", str(error))] * len(batch)

    def _batch(self) -> list[_Asked] | None:
        first = self._asked.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                more = self._asked.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._asked.put(None)
                break
            batch.append(more)
        return batch

    def _commit(self, index: sqlite3.Connection, batch: list[_Asked]) -> list[Receipt]:
        """Append all, sync once, then index: the order that a crash may interrupt anywhere."""
        receipts: list[Receipt] = []
        rows: list[tuple[str, tuple[object, ...]]] = []
        data: list[bytes] = []
        fresh: set[str] = set()
        at = self._writer.begin(batch[0].now)
        name = self._writer.name
        for asked in batch:
            sha256, size, stored = self._content(asked.mail)
            known = sha256 in fresh or _has_content(index, sha256)
            if not known:
                fresh.add(sha256)
                data.append(packed(b"B", bytes.fromhex(sha256) + stored))
                rows.append((_ADD_CONTENT, (sha256, name, at + HEAD_SIZE + 32, len(stored), size)))
                at += len(data[-1])
            entry = _entry(asked, sha256, size)
            data.append(packed(b"E", msgspec.json.encode(entry)))
            rows.append((_ADD_ENTRY, _entry_row(name, at + HEAD_SIZE, entry)))
            at += len(data[-1])
            receipts.append(Receipt(sha256, size, known))
        self._writer.commit(b"".join(data))
        _run(index, [*rows, (_ADD_SEGMENT, (name, at))])
        return receipts

    def _content(self, mail: Edited) -> tuple[str, int, bytes]:
        digest, size = hashlib.sha256(), 0
        compress = self._compressor.compressobj()
        stored: list[bytes] = []
        for chunk in mail.message.chunks():
            digest.update(chunk)
            size += len(chunk)
            stored.append(compress.compress(chunk))
        stored.append(compress.flush())
        return digest.hexdigest(), size, b"".join(stored)

    # --- reading, for people

    def entries(self, wanted: str = "") -> Iterator[Entry]:
        """All entries, the eldest first, or those whose id or SHA-256 begins so."""
        with contextlib.closing(self._connect()) as index:
            found = index.execute(
                "select id, time, sender, recipients, entry.sha256, size, until from entry"
                " join content using (sha256) where id = ? or entry.sha256 like ? order by time",
                (wanted, wanted + "%"),
            )
            for row in found:
                yield Entry(row[0], row[1], row[2], row[3].split("\n"), row[4], row[5], row[6])

    def content(self, sha256: str) -> bytes:
        """A mail's octets; LookupError when it is not there, Unavailable when it is damaged."""
        with contextlib.closing(self._connect()) as index:
            row = index.execute(
                "select segment, at, stored, size from content where sha256 = ?", (sha256,)
            ).fetchone()
        if row is None:
            raise LookupError(sha256)
        with (self._segments / row[0]).open("rb") as segment:
            segment.seek(row[1])
            stored = segment.read(row[2])
        try:
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
        except zstandard.ZstdError as error:
            raise Unavailable(f"archive {self._folder}", f"{sha256}: {error}") from None
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise Unavailable(f"archive {self._folder}", f"{sha256} does not match its content")
        return raw

    def prune(self, now: float) -> list[str]:
        """Remove the segments of which no content is kept any longer; returns their names."""
        with contextlib.closing(self._connect()) as index:
            kept = {
                row[0]
                for row in index.execute(
                    "select distinct content.segment from entry join content using (sha256)"
                    " where until = 0 or until > ?"
                    " union select distinct segment from entry where until = 0 or until > ?",
                    (now, now),
                )
            }
            names = [row[0] for row in index.execute("select name from segment")]
            gone = [name for name in names if name not in kept and name != self._writer.name]
            for name in gone:
                (self._segments / name).unlink(missing_ok=True)
                _run(index, [(sql, (name,)) for sql in _FORGET])
        if gone:
            sync_folder(self._segments)
        return gone


_ADD_CONTENT = "insert or ignore into content values (?, ?, ?, ?, ?)"
_ADD_ENTRY = "insert or replace into entry values (?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_SEGMENT = "insert or replace into segment values (?, ?)"
_FORGET = (
    "delete from content where segment = ?",
    "delete from entry where segment = ?",
    "delete from segment where name = ?",
)


def _run(index: sqlite3.Connection, rows: list[tuple[str, tuple[object, ...]]]) -> None:
    index.execute("begin immediate")
    with index:  # commits, or rolls back
        for sql, values in rows:
            index.execute(sql, values)


def _has_content(index: sqlite3.Connection, sha256: str) -> bool:
    return index.execute("select 1 from content where sha256 = ?", (sha256,)).fetchone() is not None


def _entry(asked: _Asked, sha256: str, size: int) -> Entry:
    envelope = asked.mail.envelope
    until = asked.now + asked.keep_seconds if asked.keep_seconds else 0.0
    recipients = [str(recipient) for recipient in envelope.recipients]
    return Entry(envelope.id, asked.now, str(envelope.sender), recipients, sha256, size, until)


def _entry_row(segment: str, at: int, entry: Entry) -> tuple[object, ...]:
    recipients = "\n".join(entry.recipients)
    who = (entry.id, entry.time, entry.sender, recipients)
    return (segment, at, *who, entry.sha256, entry.until)


def _tell(batch: list[_Asked], answers: Sequence[Receipt | Unavailable]) -> None:
    for asked, answer in zip(batch, answers, strict=True):
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
            asked.loop.call_soon_threadsafe(_settle, asked.answer, answer)


def _settle(future: asyncio.Future[Receipt], answer: Receipt | Unavailable) -> None:
    if future.done():
        return
    if isinstance(answer, Unavailable):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _catch_up(index: sqlite3.Connection, folder: Path) -> Opened:
    """Index what a crash left unindexed, and cut torn ends off."""
    known = dict(index.execute("select name, whole from segment"))
    indexed = torn = 0
    for path in sorted(folder.glob("*.seg")):
        if known.get(path.name) == path.stat().st_size:
            continue
        scan = Scan()
        rows: list[tuple[str, tuple[object, ...]]] = []
        for record in records(path, scan, known.get(path.name, 0)):
            indexed += 1
            if record.kind == b"B":
                sha256, stored = record.payload[:32].hex(), record.payload[32:]
                size = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
                where = (sha256, path.name, record.at + 32, len(stored), len(size))
                rows.append((_ADD_CONTENT, where))
            else:
                entry = msgspec.json.decode(record.payload, type=Entry)
                rows.append((_ADD_ENTRY, _entry_row(path.name, record.at, entry)))
        rows.append((_ADD_SEGMENT, (path.name, scan.whole)))
        if scan.torn and cut(path, scan.whole):
            torn += scan.torn
        _run(index, rows)
    return Opened(indexed, torn)
