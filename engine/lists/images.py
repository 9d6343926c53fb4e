"""Where images of large lists lie: made once, named by content, mapped by all.

A list of a few hundred lines is compiled where it is wanted.  A large one is compiled by a
process of its own into the folder; whoever comes second waits for it, and maps it.  Where the
folder cannot be written, each process holds an image of its own, and that is said.

Fails: `Images.load` raises `Misconfigured` for a list that is no good, with every fault.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.lists import compiling
from millrace.engine.lists.table import mapped
from millrace.engine.policy.listing import ListKind

_log = logging.getLogger("millrace.lists")
SMALL = 32 << 10  # octets of a list's file; compiled in about 5 ms
COMPILE_S = 300.0
KEPT = 2  # images of one list: that of now, and the one that others may still be opening


class Images:
    """A folder of images."""

    def __init__(self, folder: Path, small: int = SMALL) -> None:
        self.folder, self._small = folder, small

    def load(self, path: Path, kind: ListKind) -> memoryview:
        """The image of a file as it is now."""
        data = _read(path)
        if len(data) <= self._small:
            return memoryview(compiling.compiled(data, kind, str(path)))
        target = self.folder / f"{path.name}-{compiling.digest(data)}.image"
        try:
            self._made()
            with self._alone(path.name):
                if not target.exists():
                    _compile_apart(path, kind, target)
                    _give(target)
                    self._forget(path.name)
                return mapped(target)
        except OSError as error:
            words = "%s: %s cannot hold its image (%s); each process keeps one of its own"
            _log.warning(words, path, self.folder, error.strerror or error)
            return memoryview(compiling.compiled(data, kind, str(path)))

    def _made(self) -> None:
        """Make the folder; as root, for whoever owns the folder around it."""
        if self.folder.is_dir():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _give(self.folder)

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with (self.folder / f".{name}.lock").open("w") as lock:
            _give(Path(lock.name))
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _forget(self, name: str) -> None:
        """Remove images that are older; who has mapped one keeps it."""
        found = sorted(self.folder.glob(f"{name}-*.image"), key=lambda each: each.stat().st_mtime)
        for old in found[:-KEPT]:
            old.unlink(missing_ok=True)


def _give(path: Path) -> None:
    """What root makes belongs to whoever owns the folder around it: the daemon's user to be."""
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid)


def _read(path: Path) -> bytes:
    """A file that did not change while it was read."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > compiling.BYTES_MAX:
                sentence = f"is larger than {compiling.BYTES_MAX >> 20} MiB"
                raise Misconfigured(Fault(sentence, "Split it in two lists.", Place(str(path))))
            data = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        words = error.strerror or str(error)
        raise Misconfigured(Fault(f"cannot be read: {words}", "", Place(str(path)))) from None
    if (before.st_size, before.st_mtime_ns) != (len(data), after.st_mtime_ns):
        hint = "Write a new file and rename it, as `millrace list` does."
        raise Misconfigured(Fault("changed while it was read", hint, Place(str(path))))
    return data


def _compile_apart(path: Path, kind: ListKind, target: Path) -> None:
    # -P: nothing that lies in the working folder is taken for ours
    command = [sys.executable, "-P", "-m", compiling.__name__, str(path), kind, str(target)]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMPILE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"compiling took longer than {COMPILE_S:.0f} s") from None
    if ended.returncode == 0:
        return
    try:
        told = json.loads(ended.stdout)
    except ValueError:
        words = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(words or f"the compiler ended with {ended.returncode}") from None
    raise Misconfigured(*(compiling.from_json(each) for each in told))
