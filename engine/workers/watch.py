"""Watch: asks for a reload when files have changed, where the operator wants it.

`[reload] watch = true` says so.  It looks at pipelines, policies, their overlays and tests, the
settings file, and at which lists there are; what lists hold is looked after by the workers.
Files count when two looks, a second apart, find them alike, so that nothing half written is
read.  Whatever became of the reload, the same files are not asked for again: a bad one is said
once.

Fails: never; what cannot be looked at is as if it were not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from millrace.engine.settings import Settings

EACH_S = 1.0
Look = dict[str, tuple[int, int, int]]  # by path: when written, size, inode
_THERE = (0, 0, 0)


class Watch:
    """Made before the first plans are; `read` is told of each reload, whoever asked for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read = self._seen = look(settings) if settings.reload.watch else {}
        self._next = 0.0

    def due(self, now: float) -> bool:
        """Whether there are other files than were read last; `now` is monotonic seconds."""
        if not self._settings.reload.watch or now < self._next:
            return False
        self._next = now + EACH_S
        found = look(self._settings)
        settled, self._seen = found == self._seen, found
        return settled and found != self._read

    def read(self) -> None:
        """The files of now are being read."""
        if self._settings.reload.watch:
            self._read = look(self._settings)


def look(settings: Settings) -> Look:
    """What the files look like from outside; one `stat` each."""
    policies, source = settings.at(settings.policies), settings.source
    found = {} if not source else {source: _signature(Path(source))}
    for folder in (settings.at(settings.pipelines), policies, policies / "overlays"):
        names = (name for name in _names(folder) if name.endswith(".toml"))
        found |= {str(folder / name): _signature(folder / name) for name in names}
    return found | {str(policies / "lists" / name): _THERE for name in _names(policies / "lists")}


def _names(folder: Path) -> Iterator[str]:
    """What stands there, without what editors and version control hide."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield from (name for name in names if not name.startswith("."))


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, -1, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
