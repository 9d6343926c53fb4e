"""From the text of a list to its image, strictly: a bad line, and there is none.

    python -m millrace.engine.lists.compiling FILE KIND TARGET

does it in a process of its own, so that no worker stands still for a large list, nor keeps the
memory that compiling took; what is wrong comes out as JSON.

Fails: `compiled` raises `Misconfigured` with the first faults of the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.lists import entries, patterns, ranges
from millrace.engine.lists.entries import FOREVER, Entry, Unfit
from millrace.engine.lists.hashed import HashWriter
from millrace.engine.lists.image import built
from millrace.engine.policy.listing import ListKind

BYTES_MAX = 512 << 20
FAULTS_MAX = 20
REMARKS_MAX = 20
# what most lines of a large list are: an entry alone, in lower case
_PLAIN_NAME = rb"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
_PLAIN: dict[str, re.Pattern[bytes]] = {
    "domains": re.compile(rb"\.?" + _PLAIN_NAME),
    "addresses": re.compile(rb"[a-z0-9._+=-]{0,200}@" + _PLAIN_NAME),
}
_PLAIN["networks"] = re.compile(rb"[0-9.]+(?:/[0-9]{1,2})?|[0-9a-f:]+(?:/[0-9]{1,3})?")
_NOTHING = re.compile(rb"(?!)")
_NAME_MAX = 254
_HALF = "A file that is being written looks so; end it with a line break."


def compiled(data: bytes, kind: ListKind, name: str) -> bytes:
    """The image of a list; `name` is how messages call its file."""
    return _Compiler(data, kind, name).image()


class _Compiler:
    def __init__(self, data: bytes, kind: ListKind, name: str) -> None:
        self.data, self.kind, self.name = data, kind, name
        self.faults: list[Fault] = []
        self.remarks: list[Fault] = []
        self.exact = self.below = 0
        self.count = 0
        self.expressions: list[tuple[str, int]] = []
        lines = data.count(b"\n")
        self.hashed = HashWriter(lines if kind in ("domains", "addresses", "map") else 0)
        self.ranges = ranges.RangeWriter()

    def image(self) -> bytes:
        self._whole()
        keep = self._keeper()
        plain = _PLAIN.get(self.kind, _NOTHING)
        for number, line in enumerate(io.BytesIO(self.data), 1):
            text = line.rstrip()
            if plain.fullmatch(text) and len(text) <= _NAME_MAX:
                keep(text, FOREVER, number)
            elif text:
                self._read(line, number, keep)
            if len(self.faults) >= FAULTS_MAX:
                break
        sections = self._sections()
        if self.faults:
            raise Misconfigured(*self.faults)
        return built(self._head(), sections)

    def _whole(self) -> None:
        if len(self.data) > BYTES_MAX:
            self._refuse(f"is larger than {BYTES_MAX >> 20} MiB", "Split it in two lists.")
        if self.data and not self.data.endswith(b"\n"):
            self._refuse("ends in the middle of a line", _HALF, self.data.count(b"\n") + 1)

    def _refuse(self, sentence: str, hint: str, line: int = 0) -> None:
        raise Misconfigured(Fault(sentence, hint, Place(self.name, line)))

    def _sections(self) -> dict[str, Any]:
        if self.kind == "networks":
            return dict(self.ranges.sections(self._alike))
        return {} if self.kind == "patterns" else dict(self.hashed.sections())

    def _head(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "entries": self.count,
            "digest": digest(self.data),
            "salt": self.hashed.salt.hex(),
            "exact": self.exact,
            "below": self.below,
            "patterns": self.expressions,
            "remarks": [as_json(each) for each in self.remarks],
        }

    # --- lines

    def _read(self, line: bytes, number: int, keep: Callable[[bytes, int, int], None]) -> None:
        """A line that is more than an entry alone."""
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            place = Place(self.name, number, error.start + 1)
            self.faults.append(Fault("is not UTF-8", "Save the file as UTF-8.", place))
            return
        try:
            found = entries.read(self.kind, text)
            if found is not None:
                self._entry(found, number, keep)
        except Unfit as unfit:
            place = Place(self.name, number, unfit.column)
            self.faults.append(Fault(unfit.sentence, unfit.hint, place, text[:400], unfit.width))

    def _entry(self, found: Entry, number: int, keep: Callable[[bytes, int, int], None]) -> None:
        if self.kind == "map":
            self._pair(found, number)
        elif self.kind == "patterns":
            self._expression(found)
        else:
            keep(found.key.encode(), found.until, number)

    def _keeper(self) -> Callable[[bytes, int, int], None]:
        kinds = {"domains": self._domain, "networks": self._network}
        return kinds.get(self.kind, self._key)

    def _key(self, key: bytes, until: int, number: int) -> None:
        self.count += 1
        before, _ = self.hashed.add(key, b"", until, number)
        if before:
            self._alike(number, before)

    def _domain(self, key: bytes, until: int, number: int) -> None:
        if key.startswith(b"."):
            self.below |= 1 << key.count(b".") - 1
        else:
            self.exact |= 1 << key.count(b".")
        self._key(key, until, number)

    def _network(self, key: bytes, until: int, number: int) -> None:
        found = ranges.plain(key.decode())
        if found is None:  # a fault, or a way of writing that is rare: the slow reader knows
            self._read(key, number, self._rare_network)
            return
        self.count += 1
        self.ranges.add(*found, until, number)

    def _rare_network(self, key: bytes, until: int, number: int) -> None:
        found = ranges.plain(key.decode())
        if found is None:
            raise Unfit(f"'{key.decode()}' is no network", "", 1, len(key))
        self.count += 1
        self.ranges.add(*found, until, number)

    def _pair(self, found: Entry, number: int) -> None:
        self.count += 1
        value = found.value.encode()
        before, other = self.hashed.add(found.key.encode(), value, found.until, number)
        if before and other != value:
            hint = f"Line {before} says {other.decode()!r}; keep one of them."
            raise Unfit(f"'{found.key}' has two values", hint, 1, len(found.key))
        if before:
            self._alike(number, before)

    def _expression(self, found: Entry) -> None:
        self.count += 1
        if self.count > patterns.PATTERNS_MAX:
            self._refuse(f"holds more than {patterns.PATTERNS_MAX} patterns", "Split it.")
        patterns.check(found.key)
        self.expressions.append((found.key, found.until))

    def _alike(self, number: int, before: int) -> None:
        if len(self.remarks) < REMARKS_MAX:
            sentence = f"stands in line {before} already"
            hint = "Keep one of them; of two ends the later one counts."
            self.remarks.append(Fault(sentence, hint, Place(self.name, number, 1)))


def digest(data: bytes) -> str:
    """What names the content of a list."""
    return hashlib.sha256(data).hexdigest()[:32]


def as_json(fault: Fault) -> dict[str, Any]:
    """A fault, to be told to another process."""
    return dataclasses.asdict(fault)


def from_json(told: dict[str, Any]) -> Fault:
    """The fault that another process told."""
    return Fault(**{**told, "place": Place(**told["place"])})


def keep(image: bytes, target: Path) -> None:
    """Put an image in its place: whole, or not at all; raises OSError."""
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with half.open("wb") as out:
            out.write(image)
            out.flush()
            os.fsync(out.fileno())
        half.rename(target)
    finally:
        half.unlink(missing_ok=True)


def main(file: str, kind: ListKind, target: str) -> int:
    """The process of its own; 1 with faults on stdout when the list is no good."""
    try:
        keep(compiled(Path(file).read_bytes(), kind, file), Path(target))
    except Misconfigured as error:
        print(json.dumps([as_json(fault) for fault in error.faults]))
        return 1
    except OSError as error:
        print(json.dumps([as_json(Fault(f"cannot be compiled: {error}", "", Place(file)))]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))  # type: ignore[arg-type]
