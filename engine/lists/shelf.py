"""The lists of one folder, alive: a good new file takes the old one's place.

    policies/lists/partners.domains     is `lists.partners` in conditions

A list changes by one assignment, so that nobody sees half of it.  A file that is bad, half
written or gone leaves what was in force, and `trouble` says so until it is mended.

Fails: `Shelf.open` raises `Misconfigured` for a file that is no good and was never in force.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millrace.engine.document import nearest
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.lists.compiling import from_json
from millrace.engine.lists.entries import KINDS
from millrace.engine.lists.images import SMALL, Images
from millrace.engine.lists.table import Clock, Table, opened
from millrace.engine.policy.listing import ListKind, Lists

_log = logging.getLogger("millrace.lists")
Signature = tuple[int, int, int]  # when written, size, inode
GONE: Signature = (0, -1, 0)


class LivingList:
    """One list; `trouble` is why its file is not what is in force, "" when it is."""

    def __init__(self, path: Path, kind: ListKind) -> None:
        self.path = path
        self.trouble = ""
        self.signature: Signature | None = None  # of the file that is in force
        self.seen: Signature | None = None
        self.refused: Signature | None = None
        self.entries = 0
        self.digest = ""
        self.remarks: tuple[Fault, ...] = ()
        self.loads = self.refusals = 0
        self._name, self._kind = path.name.rpartition(".")[0], kind
        self._table: Table | None = None

    @property
    def name(self) -> str:
        """As conditions write it."""
        return self._name

    @property
    def kind(self) -> ListKind:
        """What its entries are."""
        return self._kind

    def holds(self, value: str) -> bool:
        """Whether an entry in force holds the value."""
        table = self._table
        return table is not None and table.holds(value)

    def value(self, key: str) -> str | None:
        """A map's value."""
        table = self._table
        return table.value(key) if table is not None else None

    @property
    def in_force(self) -> bool:
        """Whether it holds what a good file once said."""
        return self._table is not None

    def put_in_force(self, table: Table, head: dict[str, Any], signature: Signature) -> None:
        """From now on it holds this."""
        self.entries, self.digest = head["entries"], head["digest"]
        self.remarks = tuple(from_json(told) for told in head["remarks"])
        self._table = table
        self.signature, self.trouble = signature, ""
        self.loads += 1

    def now(self) -> Signature:
        """What its file looks like from outside."""
        try:
            found = os.stat(self.path)
        except OSError:
            return GONE
        return found.st_mtime_ns, found.st_size, found.st_ino

    def as_json(self) -> dict[str, Any]:
        """For status pages."""
        return {
            "name": self.name,
            "kind": self.kind,
            "file": str(self.path),
            "entries": self.entries,
            "digest": self.digest[:12],
            "trouble": self.trouble,
        }


class Shelf:
    """All lists of a folder; `images` is where those of large ones lie."""

    def __init__(
        self, folder: Path, images: Path, clock: Clock = time.time, small: int = SMALL
    ) -> None:
        self.folder = folder
        self._images = Images(images, small)
        self._clock = clock
        self._lists: dict[str, LivingList] = {}

    @property
    def lists(self) -> dict[str, LivingList]:
        """By name."""
        return dict(self._lists)

    def open(self) -> Lists:
        """All lists that the folder holds now, each as good as it can be had.

        One that is gone serves those who have it, and nobody else gets it.
        """
        faults: list[Fault] = []
        for found in self._found(faults):
            current = self._lists.setdefault(found.name, found)
            if current.path != found.path:
                hint = f"The other is {current.path.name}; rename one of them."
                faults.append(Fault("two lists have one name", hint, Place(str(found.path))))
        for each in list(self._lists.values()):
            faults += self._refreshed(each)
            if not each.in_force:
                del self._lists[each.name]
        if faults:
            raise Misconfigured(*faults)
        return {name: each for name, each in self._lists.items() if each.now() != GONE}

    def _refreshed(self, each: LivingList) -> tuple[Fault, ...]:
        """Its faults, where nothing better was ever in force."""
        if each.in_force:
            if each.now() != each.signature:
                self.renew(each)
            return ()
        try:
            self._load(each)
        except Misconfigured as error:
            return error.faults
        return ()

    def changed(self) -> list[LivingList]:
        """The lists whose files are others than those in force, and are no longer written to.

        Costs one `stat` a list; a file must look alike in two calls before it counts.
        """
        found = []
        for each in self._lists.values():
            now = each.now()
            if now not in (each.signature, each.refused) and now == each.seen:
                found.append(each)
            elif now == each.signature:
                each.trouble = ""  # what was bad meanwhile was taken back
            each.seen = now
        return found

    def renew(self, each: LivingList) -> bool:
        """Put the file of now in force, or say why not."""
        before, looked = each.entries, each.now()
        try:
            self._load(each)
        except Misconfigured as error:
            each.refused, each.trouble = looked, str(error.faults[0])
            each.refusals += 1
            _log.error("list %s stays as it was: %s", each.name, error)
            return False
        _log.info("list %s: %d entries serve, %d before", each.name, each.entries, before)
        return True

    def _load(self, each: LivingList) -> None:
        looked = each.now()
        image = self._images.load(each.path, each.kind)
        try:
            table, head = opened(image, self._clock)
        except ValueError as error:
            raise Misconfigured(Fault(str(error), "", Place(str(each.path)))) from None
        each.put_in_force(table, head, looked)

    def _found(self, faults: list[Fault]) -> Iterator[LivingList]:
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder) if entry.is_file())
        except FileNotFoundError:
            return
        except OSError as error:
            words = error.strerror or str(error)
            faults.append(Fault(f"cannot be read: {words}", "", Place(str(self.folder))))
            return
        for name in names:
            kind = kind_of(name)
            if kind is not None:
                yield from self._checked(name, kind, faults)
            else:
                faults += self._misnamed(name)

    def _misnamed(self, name: str) -> Iterator[Fault]:
        """A file that was probably meant to be a list; what editors leave behind was not."""
        suffix = name.rpartition(".")[2]
        near = nearest(suffix, KINDS)
        if near and not name.startswith((".", "#")) and not name.endswith(("~", "#")):
            place = Place(str(self.folder / name))
            yield Fault(f"'.{suffix}' is no kind of list", f"did you mean '.{near}'?", place)

    def _checked(self, name: str, kind: ListKind, faults: list[Fault]) -> Iterator[LivingList]:
        stem = name.rpartition(".")[0]
        if stem.isidentifier() and stem.isascii():
            yield LivingList(self.folder / name, kind)
            return
        hint = f"Letters, digits and _: {''.join(c if c.isalnum() else '_' for c in stem)}.{kind}"
        place = Place(str(self.folder / name))
        faults.append(Fault(f"a condition cannot name '{stem}'", hint, place))


def kind_of(name: str) -> ListKind | None:
    """The kind that a file's name ends in, if it is that of a list."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or name.startswith((".", "#")):
        return None
    return next((kind for kind in KINDS if kind == suffix), None)


_shelves: dict[tuple[Path, Path], Shelf] = {}


def shelf(folder: Path, images: Path) -> Shelf:
    """The one shelf of this process on that folder: plans that serve share what it holds."""
    key = folder.absolute(), images.absolute()
    return _shelves.setdefault(key, Shelf(folder, images))
