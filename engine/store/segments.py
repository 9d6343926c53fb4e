"""Append-only segments: records that are whole or not there.

A record is `MRS1`, a kind (one octet), the payload's length and CRC-32, and the payload.
A crash can only tear the last record of a segment; `records` stops there and says where,
so that the owner cuts the torn end off.

A segment is locked while somebody appends to it.  One that lost its name (its folder was removed,
moved, or another file system lies over it) takes nothing more: what stands in it is in no archive.

Fails: OSError from the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from millrace.engine.wal import inode

MAGIC = b"MRS1"
_HEAD = struct.Struct(">4scII")
HEAD_SIZE = _HEAD.size
PAYLOAD_MAX = (1 << 32) - 1
WRITE_LEAST = 1 << 18


class Record(NamedTuple):
    """One record; `at` is the offset of its payload in the segment."""

    kind: bytes
    payload: bytes
    at: int


@dataclass(slots=True)
class Scan:
    """Where the whole records of a segment end, and how long the file is."""

    whole: int = 0
    size: int = 0

    @property
    def torn(self) -> int:
        """Octets behind the last whole record."""
        return self.size - self.whole


def packed(kind: bytes, *payload: bytes) -> list[bytes]:
    """A record's octets, the payload in the pieces in which it came: a mail is not copied."""
    crc = 0
    for piece in payload:
        crc = zlib.crc32(piece, crc)
    return [_HEAD.pack(MAGIC, kind, sum(map(len, payload)), crc), *payload]


def records(path: Path, scan: Scan, start: int = 0) -> Iterator[Record]:
    """The whole records from `start`; `scan` tells afterwards where they end."""
    with path.open("rb") as segment:
        scan.size = os.fstat(segment.fileno()).st_size
        scan.whole = start
        segment.seek(start)
        while (record := _next(segment, scan)) is not None:
            scan.whole = record.at + len(record.payload)
            yield record


def _next(segment: BinaryIO, scan: Scan) -> Record | None:
    head = segment.read(HEAD_SIZE)
    if len(head) < HEAD_SIZE:
        return None
    magic, kind, length, crc = _HEAD.unpack(head)
    at = scan.whole + HEAD_SIZE
    if magic != MAGIC or at + length > scan.size:
        return None
    payload = segment.read(length)
    return Record(kind, payload, at) if zlib.crc32(payload) == crc else None


class SegmentWriter:
    """The segment that one process appends to; a new one when it is full.

    Names sort by time and hold the process, so that workers never share a file.
    """

    def __init__(self, folder: Path, roll_at: int) -> None:
        self._folder = folder
        self._roll_at = roll_at
        self._serial = 0
        self._file: FileIO | None = None
        self.name = ""
        self.size = 0

    def begin(self, now: float) -> int:
        """Open a segment if there is none, or it is full or gone; the offset of the next record."""
        if self._file is None or self.size >= self._roll_at or not self._in_place():
            self._open(now)
        return self.size

    def commit(self, data: Sequence[bytes]) -> None:
        """Append records and return when they are on disk; all of them, or none."""
        assert self._file is not None
        try:
            _write_all(self._file, data)
            os.fdatasync(self._file.fileno())
            if not self._in_place():
                raise FileNotFoundError(errno.ENOENT, f"{self.name} was taken away")
        except OSError:
            self._abandon()
            raise
        self.size += sum(map(len, data))

    def take_back(self, size: int) -> None:
        """Cut back to where the file stood: nobody may find what nobody was told of."""
        self.size = size
        if self._file is not None:
            self._abandon()
            return
        with contextlib.suppress(OSError):  # a write that failed later has let go of it
            os.truncate(self._folder / self.name, size)

    def _in_place(self) -> bool:
        """Whether the open file is still the one of its name."""
        assert self._file is not None
        return inode(self._folder / self.name) == inode(self._file.fileno())

    def _abandon(self) -> None:
        """After a failed write: cut back to the last good record, and use another file."""
        assert self._file is not None
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), self.size)
            if not self.size and self._in_place():  # an outage would leave one for each try
                (self._folder / self.name).unlink()
        with contextlib.suppress(OSError):
            self.close()
        self._file = None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, now: float) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            self._serial += 1
            self.name = f"{int(now):010x}-{os.getpid()}-{self._serial}.seg"
            try:
                # unbuffered: what failed must not be written later, when it is closed
                self._file = (self._folder / self.name).open("xb", buffering=0)
                break
            except FileExistsError:
                continue
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.size = 0
        sync_folder(self._folder)


def _write_all(file: FileIO, data: Sequence[bytes]) -> None:
    for piece in _joined(data):
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]  # a disk that runs full takes a part


def _joined(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Small ones together, so that each write is worth its call."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        small.append(piece)
        size += len(piece)
        if size >= WRITE_LEAST:
            yield b"".join(small)
            small, size = [], 0
    yield b"".join(small)


def cut(path: Path, whole: int) -> bool:
    """Cut a torn end off, unless a living writer holds the segment and is still at it."""
    with path.open("r+b") as segment:
        free = _locked(segment)
        if free:
            segment.truncate(whole)
        return free


def written(path: Path) -> bool:
    """Whether somebody appends to it."""
    try:
        with path.open("rb") as segment:
            return not _locked(segment)
    except FileNotFoundError:
        return False


def _locked(segment: IO[bytes]) -> bool:
    try:
        fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a new name durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
