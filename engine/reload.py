"""Reload: build, test, compare, swap.  A mail ends on the plan that it began with.

The new plans are built from the files as they are now, the policies' own tests are run,
and only when all is well does the one reference of each pipeline change.  A file that
is wrong leaves everything as it was.

Several workers reload together: the supervisor builds first (`attempt`), each worker builds
and opens what it needs (`prepare`), and only when all of them could, they swap (`commit`).

Fails: never; what went wrong is in the outcome, for the log and for /reload.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from millrace.engine import history, plans, trials
from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.plans import red_faults
from millrace.engine.settings import Settings

_log = logging.getLogger("millrace.reload")
PassedBy = Callable[[tuple[str, ...]], None]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload ended; `revisions` are those in force now, by pipeline."""

    result: Literal["swapped", "unchanged", "refused"]
    revisions: Mapping[str, str]
    problems: tuple[str, ...] = field(default=())


def build(settings: Settings, names: Iterable[str]) -> dict[str, Plan]:
    """Every named pipeline's plan, its policy tested; raises `Misconfigured`."""
    built: dict[str, Plan] = {}
    faults: list[Fault] = []
    for name in dict.fromkeys(names):
        try:
            plan = plans.load_plan(settings, name)
            trial = trials.try_policy(settings, plan)
        except Misconfigured as error:
            faults += error.faults
            continue
        built[name] = plan
        faults += red_faults([trial] if trial else [])
    if faults:
        raise Misconfigured(*dict.fromkeys(faults))
    return built


def first(
    settings: Settings, names: Iterable[str], passed_by: PassedBy = lambda _: None
) -> dict[str, Plan]:
    """The plans to begin with: where the files are no good, those of a rollback serve on.

    What was wrong with them then goes to `passed_by`.
    """
    names = tuple(names)
    chosen = history.in_place(settings, names)
    if chosen.snapshot is not None:
        _log.warning("a rollback serves, not the files: %s", chosen.snapshot)
    try:
        return build(chosen, names)
    except Misconfigured as error:
        kept = history.rolled_back(settings)
        if kept is None:
            raise
        built = build(kept, names)
        _log.error("the files are no good, and the rollback serves on: %s", error)
        passed_by(_problems(str(error)))
        return built


def attempt(settings: Settings, in_force: Mapping[str, str]) -> dict[str, Plan] | Reloaded:
    """The plans that the files make now; where there is nothing to swap, how it ended."""
    try:
        built = build(history.in_place(settings, in_force), in_force)
    except (Misconfigured, Unavailable) as error:
        return refused(in_force, str(error))
    except Exception as error:  # the wall around a reload
        _log.exception("a reload ended by an error of ours")
        return refused(in_force, f"{type(error).__name__}: {error}")
    revisions = revisions_of(built)
    if revisions == in_force:
        _log.info("reload: nothing changed, revision %s", _shown(revisions))
        return Reloaded("unchanged", revisions)
    return built


def refused(in_force: Mapping[str, str], problems: str) -> Reloaded:
    """Everything stays as it was; an empty line stands between two problems."""
    _log.error("reload refused, revision %s serves on: %s", _shown(in_force), problems)
    return Reloaded("refused", in_force, _problems(problems))


def _problems(told: str) -> tuple[str, ...]:
    return tuple(told.split("\n\n"))


def swapped(before: Mapping[str, str], now: Mapping[str, str]) -> Reloaded:
    """The new plans serve."""
    _log.info("reload: revision %s serves, %s before", _shown(now), _shown(before))
    return Reloaded("swapped", now)


def revisions_of(plans: Mapping[str, Plan]) -> dict[str, str]:
    """The revision of each pipeline."""
    return {name: plan.revision for name, plan in plans.items()}


class Reload:
    """One worker's part; `ready` opens what the new plans ask for."""

    def __init__(
        self,
        settings: Settings,
        serving: Mapping[str, Serving],
        ready: Callable[[list[Plan]], None],
    ) -> None:
        self._settings = settings
        self._serving = serving
        self._ready = ready
        self._next: dict[str, Plan] = {}

    @property
    def in_force(self) -> dict[str, str]:
        """The revisions that serve now."""
        return {name: each.plan.revision for name, each in self._serving.items()}

    @property
    def prepared(self) -> dict[str, str]:
        """The revisions that `commit` will put in force."""
        return revisions_of(self._next)

    async def prepare(self) -> Reloaded | None:
        """Build and open, beside the mails under way; None when `commit` may follow."""
        self._next = {}
        built = await asyncio.to_thread(attempt, self._settings, self.in_force)
        if isinstance(built, Reloaded):
            return built
        try:
            self._ready(list(built.values()))
        except (Misconfigured, Unavailable) as error:
            return refused(self.in_force, str(error))
        except Exception as error:  # the same wall
            _log.exception("a reload ended by an error of ours")
            return refused(self.in_force, f"{type(error).__name__}: {error}")
        self._next = built
        return None

    def commit(self) -> Reloaded:
        """Swap; mails that have begun keep their plan."""
        before, prepared = self.in_force, self._next
        if not prepared:
            return Reloaded("unchanged", before)
        self._next = {}
        for name, plan in prepared.items():
            self._serving[name].plan = plan
        return Reloaded("swapped", self.in_force)


def _shown(revisions: Mapping[str, str]) -> str:
    return " ".join(sorted(set(revisions.values())))
