"""Changes to a list's file: one at a time, whole or not at all, with a trail.

Comments, order and whatever else stands in the file are kept.  `NAME.KIND.trail` beside it has a
line of JSON for each change.

Fails: `Misconfigured` for a file or value that is no good, or a file that cannot be written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.lists import entries, holding, patterns
from millrace.engine.lists.entries import FOREVER, Entry, Unfit
from millrace.engine.policy.listing import ListKind


@dataclass(frozen=True, slots=True)
class Line:
    """One entry where it stands; `line` counts from 1."""

    line: int
    entry: Entry
    in_force: bool


@dataclass(frozen=True, slots=True)
class ListFile:
    """The file of one list, and who changes it."""

    path: Path
    kind: ListKind
    who: str = ""

    def entry(self, value: str, until: int = FOREVER, why: str = "") -> Entry:
        """A value as an entry; raises `Misconfigured` for one that does not fit the kind."""
        try:
            found = entries.read(self.kind, value)
            if found is None or found.until != FOREVER or found.why:
                raise Unfit("holds more than a value", "Give an end by --for, a reason by --why.")
            if self.kind == "patterns":
                patterns.check(found.key)
        except Unfit as unfit:
            raise Misconfigured(Fault(unfit.sentence, unfit.hint)) from None
        return replace(found, until=until, why=" ".join(why.split()))

    def lines(self) -> Iterator[Line]:
        """Its entries; lines that are none are passed over."""
        yield from self._entries(self._text())

    def finding(self, value: str) -> list[Line]:
        """The lines that hold a value, as a condition would ask for it."""
        near = holding.near(self.kind, value)
        found = self._entries(self._text(), near)
        return [each for each in found if holding.held(self.kind, each.entry, value)]

    def add(self, entry: Entry) -> Line | None:
        """Add it at the end, or give the line that it has the new end and reason.

        None when it stands there already, just so.
        """
        with self._alone():
            lines = self._text(missing_ok=True)
            there = self._with(lines, entry.key)
            if there and not _news(there[0].entry, entry):
                return None
            at = there[0].line if there else len(lines) + 1
            entry = replace(entry, why=entry.why or there[0].entry.why) if there else entry
            lines[at - 1 : at] = [entries.written(entry, self.kind)]
            self._write(lines)
            self._note("changed" if there else "added", entry, at)
        return Line(at, entry, in_force=True)

    def remove(self, entry: Entry, why: str = "") -> list[Line]:
        """Remove every line with just that key."""
        with self._alone():
            lines = self._text()
            there = self._with(lines, entry.key)
            self._without(lines, there, "removed", why)
        return there

    def prune(self) -> list[Line]:
        """Remove what has ended."""
        with self._alone():
            lines = self._text()
            ends = self._entries(lines, lambda line: "until" in line)
            ended = [each for each in ends if not each.in_force]
            self._without(lines, ended, "pruned", "")
        return ended

    def _without(self, lines: list[str], gone: list[Line], what: str, why: str) -> None:
        if not gone:
            return
        numbers = {each.line for each in gone}
        self._write([line for at, line in enumerate(lines, 1) if at not in numbers])
        for each in gone:
            self._note(what, replace(each.entry, why=why or each.entry.why), each.line)

    def _with(self, lines: list[str], key: str) -> list[Line]:
        found = self._entries(lines, holding.same(self.kind, key))
        return [each for each in found if each.entry.key == key]

    def _entries(
        self, lines: list[str], near: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Line]:
        """The entries of the lines that are `near`; the others are not looked at closely."""
        now = time.time()
        for at, line in enumerate(lines, 1):
            if not near(line):
                continue
            with contextlib.suppress(Unfit):
                found = entries.read(self.kind, line)
                if found is not None:
                    yield Line(at, found, found.until > now)

    def _text(self, *, missing_ok: bool = False) -> list[str]:
        try:
            return self.path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            if missing_ok:
                return []
            raise Misconfigured(Fault("there is no such list", "", Place(str(self.path)))) from None
        except OSError as error:
            words = f"cannot be read: {error.strerror}"
            raise Misconfigured(Fault(words, "", Place(str(self.path)))) from None
        except UnicodeDecodeError:
            hint = "Save the file as UTF-8."
            raise Misconfigured(Fault("is not UTF-8", hint, Place(str(self.path)))) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            words = error.strerror or str(error)
            fault = Fault(f"cannot be changed: {words}", "", Place(str(self.path)))
            raise Misconfigured(fault) from None

    def _write(self, lines: list[str]) -> None:
        target = self.path.resolve()
        half = target.with_name(f".{target.name}.new")
        with half.open("w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
            out.flush()
            os.fchmod(out.fileno(), 0o644)  # the daemon is another user, whatever our umask
            with contextlib.suppress(FileNotFoundError):
                before = target.stat()
                os.fchmod(out.fileno(), before.st_mode & 0o7777)
                with contextlib.suppress(PermissionError):  # ours, if it may not stay another's
                    os.fchown(out.fileno(), before.st_uid, before.st_gid)
            os.fsync(out.fileno())
        half.rename(target)
        _settle(target.parent)

    def _note(self, what: str, entry: Entry, line: int) -> None:
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "who": self.who,
            "what": what,
            "value": entry.key if self.kind != "map" else f"{entry.key} = {entry.value}",
            "line": line,
            "until": entries.shown(entry.until) if entry.until != FOREVER else "",
            "why": entry.why,
        }
        with trail(self.path).open("a", encoding="utf-8") as out:
            out.write(json.dumps(told, ensure_ascii=False) + "\n")


def trail(path: Path) -> Path:
    """Where the changes of a list are told."""
    return path.with_name(path.name + ".trail")


def _settle(folder: Path) -> None:
    """What was renamed in it stays so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _news(there: Entry, entry: Entry) -> bool:
    """Whether an entry says something that its line does not."""
    return (there.value, there.until) != (entry.value, entry.until) or (
        bool(entry.why) and entry.why != there.why
    )
