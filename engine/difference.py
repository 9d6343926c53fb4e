"""What differs between two revisions: pipelines, policies, lists, in words.

Fails: never; a file that is no TOML is told of as such.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.lists.entries import Unfit, read
from millrace.engine.pipeline.difference import pipelines
from millrace.engine.policy.difference import Change, Table, overlays, policies
from millrace.engine.store.history import KeptList, Snapshot

_SHOWN = 5  # entries of a list that are named
_COMPARE: Mapping[str, Callable[[Table, Table], Iterator[Change]]] = {
    "pipelines": pipelines,
    "policies": policies,
    "overlays": overlays,
}
_SINGULAR = {"pipelines": "pipeline", "policies": "policy", "overlays": "overlay"}


@dataclass(frozen=True, slots=True)
class Section:
    """What differs in one file."""

    title: str
    changes: tuple[Change, ...]


def sections(old: Snapshot, new: Snapshot) -> list[Section]:
    """Every file that means something else, in order."""
    found = [_file(name, old, new) for name in dict.fromkeys([*old.files, *new.files])]
    found.append(Section("lists", tuple(_lists(old.lists, new.lists))))
    return [section for section in found if section.changes]


def _file(name: str, old: Snapshot, new: Snapshot) -> Section:
    kind, _, plain = name.partition("/")
    title = f"{_SINGULAR[kind]} {plain}"
    if name not in new.files:
        return Section(title, (Change("no longer serves"),))
    if name not in old.files and kind != "overlays":
        return Section(title, (Change("is new"),))
    try:
        after = _data(new.files[name])
        if name not in old.files:  # what it replaces and drops is no longer in force
            return Section(title, (Change("is new"), *overlays({}, after)))
        before = _data(old.files[name])
    except tomllib.TOMLDecodeError as error:
        return Section(title, (Change(f"is not TOML: {error}"),))
    return Section(title, tuple(_COMPARE[kind](before, after)))


def _data(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def _lists(old: Mapping[str, KeptList], new: Mapping[str, KeptList]) -> Iterator[Change]:
    for name, before in old.items():
        if name not in new:
            yield Change(f"`{name}` is gone: it had {before.entries} entries")
    for name, after in new.items():
        if name not in old:
            yield Change(f"`{name}` is new: {after.entries} entries")
        elif old[name].digest != after.digest:
            yield _list(name, old[name], after)


def _list(name: str, old: KeptList, new: KeptList) -> Change:
    counts = f"`{name}` has {new.entries} entries where it had {old.entries}"
    if old.text is None or new.text is None:
        return Change(counts)
    before, after = _entries(old), _entries(new)
    lost, gained = (_named(set(a) - set(b)) for a, b in ((before, after), (after, before)))
    words = [f"gained {gained}"] if gained else []
    words += [f"lost {lost}"] if lost else []
    other = _named({key for key in set(before) & set(after) if before[key] != after[key]})
    words += [f"says otherwise of {other}"] if other else []
    return Change(f"`{name}` {' and '.join(words)}" if words else f"`{name}` has other comments")


def _entries(each: KeptList) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in (each.text or "").splitlines():
        try:
            entry = read(each.kind, line)  # type: ignore[arg-type]  # a kind of its time
        except Unfit:
            continue
        if entry is not None:
            found[entry.key] = (entry.value, entry.until)
    return found


def _named(keys: set[str]) -> str:
    shown = ", ".join(sorted(keys)[:_SHOWN])
    return f"{shown} and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown
