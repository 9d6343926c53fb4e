"""What serves: the files of now, or the revision of a rollback that holds.

    files as they were at the rollback      the revision that was rolled back to
    other files, and they are good          the files: accepting them ends the rollback
    other files, and they are no good       a reload is refused; a start serves the revision

Fails: `Misconfigured` for a revision that is not kept; `accept` never, since what is kept for
tomorrow must not stop the mail of today.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from millrace.engine import plans
from millrace.engine.document import Document
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.lists.shelf import LivingList
from millrace.engine.pipeline.graph import revision_of
from millrace.engine.pipeline.plan import Plan
from millrace.engine.policy.overlay import policy_of
from millrace.engine.settings import Settings
from millrace.engine.store.commit import commit_of
from millrace.engine.store.history import (
    LIST_MAX,
    Accepted,
    History,
    How,
    KeptList,
    Rollback,
    Snapshot,
)

_log = logging.getLogger("millrace.history")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants plans to be put in force, and why."""

    who: str = ""
    why: str = ""


def history(settings: Settings) -> History:
    """What is kept for these settings."""
    return History(settings.at(settings.history.path), settings.history.keep)


def served(settings: Settings) -> tuple[str, ...]:
    """The pipelines behind the doors."""
    return tuple(dict.fromkeys(listener.pipeline for listener in settings.listener))


def rolled_back(settings: Settings) -> Settings | None:
    """The settings by which the revision of a rollback is read; None without one."""
    found = history(settings).rollback()
    return at(settings, found.revision) if found else None


def at(settings: Settings, revision: str) -> Settings:
    """The settings by which a revision that is kept is read in place of the files."""
    return replace(settings, snapshot=history(settings).place(revision))


def as_of(settings: Settings, word: str) -> Settings:
    """The settings by which plans are read as of a revision, `now` (in force) or `files`."""
    if word == "files":
        return settings
    found = accepted(settings, word)
    history(settings).snapshot(found)  # files that are gone must not give way to those of now
    return at(settings, found.revision)


def accepted(settings: Settings, word: str) -> Accepted:
    """A revision by its first letters, or `now`."""
    found = history(settings)
    if word == "now":
        word = in_force(settings)
        if not word:
            hint = f"A daemon that starts or reloads keeps its revision in {found.folder}."
            raise Misconfigured(Fault("nothing is kept of what is in force", hint))
    return found.find(word)


def in_place(settings: Settings, names: Iterable[str]) -> Settings:
    """The settings by which plans are to be read: of the files, or of a rollback over them."""
    found = history(settings).rollback()
    if found is None or found.over != digest(sources(settings, names)):
        return settings
    return at(settings, found.revision)


def holding(settings: Settings) -> str:
    """The revision of a rollback that serves in place of the files of now; "" without one."""
    try:
        placed = in_place(settings, served(settings))
    except Misconfigured:
        return ""
    return placed.snapshot.name if placed.snapshot is not None else ""


def sources(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """The texts that make the plans of these pipelines, by "pipelines/NAME", "policies/NAME".

    What cannot be read is left out.
    """
    found: dict[str, str] = {}
    for name in names:
        try:
            document = plans.document(settings, "pipelines", name)
            found[f"pipelines/{name}"] = document.text
            policy = str(document.data.get("policy", "default"))
            found[f"policies/{policy}"] = plans.document(settings, "policies", policy).text
            for overlay, read in plans.overlays(settings, policy).items():
                found[f"overlays/{overlay}"] = read.text
        except Misconfigured:
            continue
    return found


def digest(texts: Mapping[str, str]) -> str:
    """What names these texts."""
    told = "".join(f"{name}\0{len(text)}\0{text}" for name, text in sorted(texts.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def whole(revisions: Mapping[str, str]) -> str:
    """One name for the revisions of all pipelines: theirs, when they have the same."""
    if len(set(revisions.values())) == 1:
        return next(iter(revisions.values()))
    told = "\n".join(f"{name}={revision}" for name, revision in sorted(revisions.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def snapshot(settings: Settings, names: Iterable[str]) -> Snapshot:
    """What the files of now make, or would make if they were good."""
    names = tuple(names)
    texts = sources(settings, names)
    revisions = {name: _revision(name, texts) for name in names}
    lists = plans.list_shelf(settings).lists
    kept = {name: _kept(each) for name, each in sorted(lists.items()) if each.in_force}
    return Snapshot(whole(revisions), revisions, texts, kept)


def _revision(pipeline: str, texts: Mapping[str, str]) -> str:
    text = texts.get(f"pipelines/{pipeline}", "")
    policy = str(Document(text, pipeline).data.get("policy", "default"))
    over = [
        each
        for name, each in sorted(texts.items())
        if name.startswith("overlays/") and policy_of(Document(each, name)) == policy
    ]
    return revision_of(text, texts.get(f"policies/{policy}", ""), *over)


def _kept(each: LivingList) -> KeptList:
    return KeptList(each.kind, each.entries, each.digest, _text(each.path, each.digest))


def _text(path: Path, wanted: str) -> str | None:
    """A small list's text, where it is the one that is in force."""
    try:
        if path.stat().st_size > LIST_MAX:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return data.decode() if hashlib.sha256(data).hexdigest().startswith(wanted) else None


def accept(settings: Settings, serving: Mapping[str, Plan], how: How, asked: Asked) -> None:
    """Keep what now serves; files that are accepted end a rollback to something else."""
    revisions = {name: plan.revision for name, plan in serving.items()}
    kept, revision = history(settings), whole(revisions)
    rollback = kept.rollback()
    held = rollback is not None and rollback.revision == revision
    try:
        if rollback is not None and held:
            how, asked = "rollback", Asked(rollback.who, rollback.why)
        elif rollback is not None:
            kept.roll_back(None)
            _log.info("the rollback to %s has ended: %s is accepted", rollback.revision, revision)
        found = snapshot(at(settings, revision) if held else settings, revisions)
        if found.revision != revision:
            _log.warning("revision %s is not kept: the files changed since it was read", revision)
            return
        folder = settings.at(settings.policies)
        kept.accept(found, how, time.time(), asked.who, asked.why, commit_of(folder))
    except (OSError, Misconfigured) as error:
        _log.error("revision %s is not kept in %s: %s", revision, kept.folder, error)


def is_rollback(settings: Settings, revisions: Mapping[str, str]) -> bool:
    """Whether these serve in place of the files."""
    try:
        found = history(settings).rollback()
    except Misconfigured:
        return False
    return found is not None and found.revision == whole(revisions)


def roll_back(settings: Settings, revision: str, asked: Asked) -> Rollback | None:
    """From the next reload or start on, this revision serves; what held before is returned."""
    kept = history(settings)
    before = kept.rollback()
    over = digest(sources(settings, served(settings)))
    kept.roll_back(Rollback(revision, over, asked.who, asked.why))
    return before


def in_force(settings: Settings) -> str:
    """The revision that serves, as far as it is kept; "" when none is."""
    kept = history(settings)
    rollback, entries = kept.rollback(), kept.log()
    return rollback.revision if rollback else entries[0].revision if entries else ""


def before(settings: Settings) -> str:
    """What served before that which serves; "" when nothing is kept of it."""
    now, reached = in_force(settings), False
    for each in history(settings).log():
        if each.how == "rollback":
            continue
        if reached and each.revision != now:
            return each.revision
        reached = reached or each.revision == now
    return ""
