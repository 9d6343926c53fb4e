"""Reload: build, test, compare, swap.  A mail ends on the plan that it began with.

The new plans are built from the files as they are now, the policies' own tests are run,
and only when all is well does the one reference of each pipeline change.  A file that
is wrong leaves everything as it was.

Fails: never; what went wrong is in the outcome, for the log and for /reload.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from millrace.engine import plans
from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.plans import red_faults
from millrace.engine.settings import Settings

_log = logging.getLogger("millrace.reload")


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
            trial = plans.try_policy(settings, plan)
        except Misconfigured as error:
            faults += error.faults
            continue
        built[name] = plan
        faults += red_faults([trial] if trial else [])
    if faults:
        raise Misconfigured(*dict.fromkeys(faults))
    return built


def reload(
    settings: Settings, serving: Mapping[str, Serving], ready: Callable[[list[Plan]], None]
) -> Reloaded:
    """Swap in what the files say now; `ready` opens what the new plans ask for."""
    in_force = {name: each.plan.revision for name, each in serving.items()}
    try:
        built = build(settings, serving)
        ready(list(built.values()))
    except (Misconfigured, Unavailable) as error:
        _log.error("reload refused, revision %s serves on: %s", _shown(in_force), error)
        return Reloaded("refused", in_force, tuple(str(error).split("\n\n")))
    except Exception as error:  # the wall around a reload
        _log.exception("reload ended by an error of ours, revision %s serves on", _shown(in_force))
        return Reloaded("refused", in_force, (f"{type(error).__name__}: {error}",))
    revisions = {name: plan.revision for name, plan in built.items()}
    if revisions == in_force:
        _log.info("reload: nothing changed, revision %s", _shown(revisions))
        return Reloaded("unchanged", revisions)
    for name, plan in built.items():
        serving[name].plan = plan
    _log.info("reload: revision %s serves, %s before", _shown(revisions), _shown(in_force))
    return Reloaded("swapped", revisions)


def _shown(revisions: Mapping[str, str]) -> str:
    return " ".join(sorted(set(revisions.values())))
