"""Labelled mail: folders or tar archives with `ham` and `spam` in the path.

A mail's label is the nearest folder of that name.  An mbox `From ` line at the top is
dropped.  Mails whose bodies have the same letters are one mail: the first counts, and all
copies fall on the same side of the split between training and holding out.

Fails: Misconfigured when a path is missing or holds no labelled mail.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.message import Message

MAIL_MAX = 1 << 24  # bytes; larger members are passed over
HOLD_OUT = 5  # one in so many is held out
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_OTHERS = bytes(code for code in range(128) if code not in _LETTERS)


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled mail; `digest` is the SHA-256 of its body's letters, case aside."""

    name: str
    spam: bool
    message: Message = field(repr=False)
    digest: bytes

    @property
    def held_out(self) -> bool:
        """Whether it is kept to judge the result."""
        return int.from_bytes(self.digest[:4], "big") % HOLD_OUT == 0

    @property
    def bare(self) -> bool:
        """Whether the collection kept the text only."""
        headers = self.message.headers
        return not headers.first(b"From") and not headers.first(b"Date")


def samples(paths: Iterable[Path]) -> Iterator[Sample]:
    """Every labelled mail, in the order of paths and names; copies dropped."""
    seen: set[bytes] = set()
    for path in paths:
        count = 0
        for name, raw in _archive(path) if path.is_file() else _folder(path):
            label = _label(name)
            if label is None:
                continue
            count += 1
            sample = _sample(name, label, raw)
            if sample.digest not in seen:
                seen.add(sample.digest)
                yield sample
        if not count:
            raise Misconfigured(
                Fault(
                    "no labelled mail here",
                    "Give a folder, or a tar archive, with ham/ and spam/ inside.",
                    Place(str(path)),
                )
            )


def _sample(name: str, label: bool, raw: bytes) -> Sample:
    if raw.startswith(b"From "):
        raw = raw.partition(b"\n")[2]
    message = Message.parse(raw)
    letters = bytes(message.body).translate(None, _OTHERS).lower()
    return Sample(name, label, message, hashlib.sha256(letters).digest())


def _label(name: str) -> bool | None:
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if part.lower() in ("ham", "spam"):
            return part.lower() == "spam"
    return None


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    if not path.is_dir():
        raise Misconfigured(Fault("there is no such file or folder", place=Place(str(path))))
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.stat().st_size <= MAIL_MAX:
            yield file.absolute().as_posix(), file.read_bytes()


def _archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Members by name order; nothing is unpacked to disk."""
    try:
        with tarfile.open(path) as archive:
            found = list(_members(archive))
    except (tarfile.TarError, EOFError, OSError) as trouble:
        fault = Fault(f"this archive cannot be read: {trouble}", place=Place(str(path)))
        raise Misconfigured(fault) from None
    yield from sorted(found)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        file = archive.extractfile(member) if member.isfile() else None
        if file and member.size <= MAIL_MAX and _label(member.name) is not None:
            yield member.name, file.read()
