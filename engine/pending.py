"""Pending: what the settings file says by now and only a restart will read.

A reload takes pipelines and policies, never settings.  So whoever asks for one is told which
settings were changed meanwhile.  Those that the environment or the command line chose are not
the file's to change.  Listeners count from 1, as `millrace config show` numbers them.

Fails: never; a file that is no good is told in `trouble`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any

from millrace.engine.errors import Misconfigured
from millrace.engine.options import options_of
from millrace.engine.settings import Listener, Settings, all_options, load


@dataclass(frozen=True, slots=True)
class Pending:
    """Dotted names of settings; `trouble` is why the file could not be read, "" when it could."""

    keys: tuple[str, ...] = ()
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the pages /reload and /status."""
        return {"needs_restart": list(self.keys), "settings_trouble": self.trouble}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Pending:
        """Out of such a page; one of an older daemon may not tell."""
        return cls(tuple(told.get("needs_restart", ())), told.get("settings_trouble", ""))

    def __str__(self) -> str:
        if self.trouble:
            return f"the settings file is no good, and a restart would be refused: {self.trouble}"
        if self.keys:
            return f"changed, but needs `millrace restart`: {', '.join(self.keys)}"
        return ""


def pending(in_force: Settings) -> Pending:
    """What differs between the settings in force and those of their file as it is now."""
    if not in_force.source:
        return Pending()
    kept = {} if _from_file(in_force, "profile") else {"profile": in_force.profile}
    try:
        now = load(Path(in_force.source), overrides=kept)
    except Misconfigured as error:
        return Pending(trouble=str(error.faults[0]))
    return Pending((*_settings(in_force, now), *_listeners(in_force.listener, now.listener)))


def _settings(in_force: Settings, now: Settings) -> Iterator[str]:
    for name in all_options():
        value = attrgetter(name)
        if _from_file(in_force, name) and value(in_force) != value(now):
            yield name


def _from_file(settings: Settings, name: str) -> bool:
    """Whether the file could change it: by a value of its own, or by having none any more."""
    return not settings.origins.get(name, "").startswith(("environment ", "command line"))


def _listeners(before: tuple[Listener, ...], now: tuple[Listener, ...]) -> Iterator[str]:
    for number, (old, new) in enumerate(zip_longest(before, now), 1):
        if old is None or new is None:
            yield f"listener[{number}]"
            continue
        for option in options_of(Listener):
            if getattr(old, option.name) != getattr(new, option.name):
                yield f"listener[{number}].{option.name}"
