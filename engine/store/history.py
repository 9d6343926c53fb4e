"""What was in force: each accepted revision with its files; who, when and why.

    log.jsonl                          one line for each acceptance, the newest last
    REVISION/pipelines/inbound.toml    the files that made it; a revision is named by content
    REVISION/policies/default.toml
    lists/DIGEST                       small lists as they were then
    rollback.json                      the revision that serves in place of the files

A rollback outlives a restart.  It ends when other files than those that it was made over are
accepted.

Fails: `Misconfigured` for a revision that is not kept, and for a rollback that cannot be read or
written; `accept` raises OSError.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, Literal
from urllib.parse import quote, unquote

from millrace.engine.errors import Fault, Misconfigured, Place

LIST_MAX = 64 << 10  # octets of a list that is kept with a revision
How = Literal["start", "reload", "rollback"]


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """What is kept of revisions that were in force."""

    path: Annotated[Path, "the folder of what was in force"] = Path("history")
    keep: Annotated[int, "acceptances that are kept"] = 200


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What makes a revision: texts by "pipelines/NAME" and "policies/NAME", and lists."""

    revision: str
    revisions: Mapping[str, str]  # by pipeline
    files: Mapping[str, str]
    lists: Mapping[str, KeptList] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptList:
    """A list as it was; `text` is None for one that is too large to keep."""

    kind: str
    entries: int
    digest: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acceptance; `time` is Unix seconds, `commit` that of the git repository, if any."""

    revision: str
    time: float
    who: str
    why: str
    how: How
    commit: str
    revisions: Mapping[str, str]
    lists: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Rollback:
    """What serves in place of the files; `over` names what these were."""

    revision: str
    over: str
    who: str = ""
    why: str = ""


class History:
    """The folder; `keep` acceptances stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self._keep = folder, max(keep, 1)

    # --- what was

    def log(self) -> list[Accepted]:
        """Every acceptance that is kept, the newest first."""
        found = []
        for line in self._read("log.jsonl").splitlines():
            with contextlib.suppress(ValueError, TypeError):  # a crash may leave half a line
                found.append(Accepted(**json.loads(line)))
        return found[::-1]

    def find(self, word: str) -> Accepted:
        """The latest acceptance of a revision, named by how it or one of its pipelines begins."""
        entries = self.log()
        found = {
            each.revision: each
            for each in reversed(entries)
            if any(name.startswith(word) for name in (each.revision, *each.revisions.values()))
        }
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            fault = Fault(f"'{word}' begins {len(found)} revisions", " ".join(found))
        else:
            fault = Fault(f"revision '{word}' is not kept", "`millrace policy log` lists them.")
        raise Misconfigured(fault)

    def place(self, revision: str) -> Path:
        """The folder of a revision's files."""
        return self.folder / revision

    def snapshot(self, accepted: Accepted) -> Snapshot:
        """All that is kept of it; raises `Misconfigured` when its files are gone."""
        folder = self.place(accepted.revision)
        try:
            files = {
                f"{path.parent.name}/{unquote(path.name.removesuffix('.toml'))}": path.read_text(
                    "utf-8"
                )
                for path in folder.glob("*/*.toml")
            }
        except OSError as error:
            raise Misconfigured(Fault(f"{folder} cannot be read: {error.strerror}")) from None
        if not files:
            hint = f"{folder} is gone"
            raise Misconfigured(Fault(f"revision {accepted.revision} is not kept", hint))
        lists = {name: self._list(told) for name, told in accepted.lists.items()}
        return Snapshot(accepted.revision, accepted.revisions, files, lists)

    def _list(self, told: Mapping[str, Any]) -> KeptList:
        with contextlib.suppress(OSError):
            text = (self.folder / "lists" / told["digest"]).read_text("utf-8")
            return KeptList(**told, text=text)
        return KeptList(**told)

    # --- what is accepted

    def accept(
        self, snapshot: Snapshot, how: How, time: float, who: str, why: str, commit: str = ""
    ) -> bool:
        """Keep it; False when it is what was accepted last."""
        entries = self.log()
        if entries and entries[0].revision == snapshot.revision:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        self._keep_files(snapshot)
        lists = {name: _without_text(each) for name, each in snapshot.lists.items()}
        entry = Accepted(
            snapshot.revision, time, who, why, how, commit, dict(snapshot.revisions), lists
        )
        with (self.folder / "log.jsonl").open("a+b") as log:
            if log.tell() and not _ends_a_line(log):  # what a crash left swallows no more
                log.write(b"\n")
            log.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
        if len(entries) >= self._keep:
            self._forget([entry, *entries[: self._keep - 1]])
        return True

    def _keep_files(self, snapshot: Snapshot) -> None:
        for each in snapshot.lists.values():
            if each.text is not None:
                _write(self.folder / "lists" / each.digest, each.text)
        place = self.place(snapshot.revision)
        if place.is_dir():
            return
        half = self.folder / f".{snapshot.revision}"
        shutil.rmtree(half, ignore_errors=True)
        for name, text in snapshot.files.items():
            kind, _, plain = name.partition("/")
            _write(half / kind / file_name(plain), text)
        half.rename(place)

    def _forget(self, kept: list[Accepted]) -> None:
        """Leave these acceptances, and the files that they name."""
        lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in reversed(kept)]
        _write(self.folder / "log.jsonl", "".join(lines))
        rollback = self.rollback()
        revisions = {each.revision for each in kept} | {rollback.revision if rollback else ""}
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder.name not in revisions | {"lists"}:
                shutil.rmtree(folder, ignore_errors=True)
        digests = {told["digest"] for each in kept for told in each.lists.values()}
        for path in (self.folder / "lists").glob("*"):
            if path.name not in digests:
                path.unlink(missing_ok=True)

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            place = Place(str(self.folder / name))
            hint = "It belongs to the daemon's user."
            raise Misconfigured(Fault(f"cannot be read: {error.strerror}", hint, place)) from None

    # --- what serves in place of the files

    def rollback(self) -> Rollback | None:
        """The rollback that holds."""
        text = self._read("rollback.json")
        return Rollback(**json.loads(text)) if text else None

    def roll_back(self, to: Rollback | None) -> None:
        """From now on this revision serves in place of the files; None: the files do."""
        path = self.folder / "rollback.json"
        try:
            if to is None:
                path.unlink(missing_ok=True)
            else:
                _write(path, json.dumps(asdict(to), ensure_ascii=False))
        except OSError as error:
            hint = "It belongs to the daemon's user."
            fault = Fault(f"cannot be written: {error.strerror}", hint, Place(str(path)))
            raise Misconfigured(fault) from None


def file_name(name: str) -> str:
    """The file of a pipeline or policy in a revision's folder; a name may be a path."""
    return quote(name, safe=" ") + ".toml"


def _without_text(each: KeptList) -> dict[str, Any]:
    return {"kind": each.kind, "entries": each.entries, "digest": each.digest}


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _write(path: Path, text: str) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.new")
    with half.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fchmod(out.fileno(), 0o644)  # root rolls back what another user then reads
        os.fsync(out.fileno())
    half.rename(path)
