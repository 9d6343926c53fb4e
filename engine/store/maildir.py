"""Maildir: one file for each mail, on disk before it is said to be there.

The layout of qmail's maildir(5): written under `tmp`, synced, renamed into `new`, and
the folder synced, so that no reader and no crash ever sees half a mail.  On top stand
`Return-Path` (RFC 5321 §4.4) and a `Delivered-To` for each recipient.  Lines end in LF,
as programs that read a Maildir expect.

Fails: Unavailable when the disk or the folder does not take the mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from millrace.engine.errors import Unavailable
from millrace.engine.mail.edits import field_of
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.ports import Delivery

_serial = itertools.count()


class Maildir:
    """A port of engine.ports.NextHop; `now` gives Unix seconds for the file names."""

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self.root = root
        self._now = now

    def __str__(self) -> str:
        return f"maildir {self.root}"

    async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
        """Write the mail; it is durable when this returns."""
        try:
            await asyncio.to_thread(self._write, envelope, message)
        except OSError as error:
            raise Unavailable(str(self), error.strerror or str(error)) from error
        return Delivery(Reply(250, "2.0.0", "Delivered"), {})

    def _write(self, envelope: Envelope, message: Message) -> None:
        for folder in ("cur", "new", "tmp"):
            (self.root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self._name()
        written = self.root / "tmp" / name
        try:
            _write_synced(written, _lines(envelope, message))
            written.rename(self.root / "new" / name)
        except OSError:
            with contextlib.suppress(OSError):
                written.unlink()
            raise
        _sync_folder(self.root / "new")

    def sweep(self) -> int:
        """Remove what dead processes of this host left half written; how many there were."""
        ours = re.compile(rf"\d+\.M\d+P(\d+)Q\d+\.{re.escape(_host())}")
        swept = 0
        for path in sorted((self.root / "tmp").glob("*")):
            found = ours.fullmatch(path.name)
            if found and not _lives(int(found[1])):
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def _name(self) -> str:
        """Unique by time, process and count, as maildir(5) asks."""
        seconds, fraction = divmod(self._now(), 1)
        return f"{seconds:.0f}.M{int(fraction * 1e6)}P{os.getpid()}Q{next(_serial)}.{_host()}"


def _host() -> str:
    return socket.gethostname().replace("/", "\\057").replace(":", "\\072")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def _lines(envelope: Envelope, message: Message) -> Iterator[bytes]:
    top = [field_of("Return-Path", f"<{envelope.sender}>")]
    top += [field_of("Delivered-To", str(recipient)) for recipient in envelope.recipients]
    yield Headers(top).raw.replace(b"\r\n", b"\n")
    cut = b""  # a CR at the end of a piece, whose LF begins the next one
    for chunk in message.chunks():
        piece = cut + chunk
        cut = b"\r" if piece.endswith(b"\r") else b""
        yield piece[: len(piece) - len(cut)].replace(b"\r\n", b"\n")
    yield cut


def _write_synced(path: Path, pieces: Iterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as out:
        out.writelines(pieces)
        out.flush()
        os.fsync(out.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
