"""The commit of the git repository that a folder stands in, read from its files.

No program is run: the daemon may be another user than who owns the repository.

Fails: never; "" where there is no repository, or nothing that can be read.
"""

from __future__ import annotations

import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40,64}")


def commit_of(folder: Path) -> str:
    """The hash that HEAD names."""
    try:
        for each in (folder.resolve(), *folder.resolve().parents):
            if (each / ".git").exists():
                return _head(_repository(each / ".git"))
    except (OSError, UnicodeDecodeError):
        pass
    return ""


def _repository(git: Path) -> Path:
    if git.is_dir():
        return git
    # a worktree's file: "gitdir: PATH"
    return (git.parent / git.read_text("utf-8").partition("gitdir:")[2].strip()).resolve()


def _head(repository: Path) -> str:
    head = (repository / "HEAD").read_text("utf-8").strip()
    name = head.removeprefix("ref: ")
    if name == head:
        return _hash(head)
    common = repository / "commondir"
    shared = repository / common.read_text("utf-8").strip() if common.is_file() else repository
    for place in (repository / name, shared / name):
        if place.is_file():
            return _hash(place.read_text("utf-8").strip())
    packed = shared / "packed-refs"
    for line in packed.read_text("utf-8").splitlines() if packed.is_file() else ():
        found, _, ref = line.partition(" ")
        if ref == name:
            return _hash(found)
    return ""


def _hash(text: str) -> str:
    return text if _HASH.fullmatch(text) else ""
