"""The daemon from its settings to its end: doors, privileges, plans, children.

Fails: `Misconfigured` or `Unavailable` before any mail is taken.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping, Sequence

from millrace.engine import history
from millrace.engine.app import plans_of
from millrace.engine.app import rehearse as rehearse_app
from millrace.engine.history import Asked
from millrace.engine.pipeline.plan import Plan
from millrace.engine.settings import Settings
from millrace.engine.workers import handover, privileges, sockets, sweeping
from millrace.engine.workers.handover import Estate
from millrace.engine.workers.sockets import Bound
from millrace.engine.workers.supervisor import Started, Supervisor
from millrace.engine.workers.watch import Watch

Ready = Callable[[Mapping[str, Plan], Sequence[Bound], Started], None]


def serve(settings: Settings, ready: Ready) -> int:
    """Take mail until told to stop; the exit status.  `ready` hears when all children are."""
    count = workers(settings)
    privileges.raise_descriptors(settings, count)
    watch = Watch(settings)  # before they are read, so that no change goes unseen
    passed_by: list[str] = []
    plans = plans_of(settings, passed_by.extend)
    estate = handover.inherited(os.environ)
    given = estate.doors if estate else sockets.from_systemd(settings, os.environ)
    bounds = sockets.open_all(settings, count, given, sockets.lent_by_systemd(os.environ))
    privileges.become(settings.user, settings.group)
    sweeping.sweep(settings, plans.values(), heir=estate is not None)
    history.accept(settings, plans, "start", Asked())

    def started(what: Started) -> None:
        ready(plans, bounds, what)

    supervisor = Supervisor(settings, plans, count, bounds, watch, started)
    supervisor.inherit(estate or Estate(), passed_by)
    gc.collect()
    # a mail makes and drops some thousand objects: at 700, the default, rounds that find
    # next to nothing are a twentieth of its price
    gc.set_threshold(10_000, 20, 20)
    gc.freeze()  # what all children share need not be looked at, nor copied, in any of them
    return supervisor.run()


def rehearse(settings: Settings) -> None:
    """Whether `serve` could begin and a worker start beside those that serve; raises as they would.

    Doors that are not held yet are opened and closed again, what filters need is opened.
    """
    plans = plans_of(settings)
    privileges.raise_descriptors(settings, workers(settings))
    held = handover.held(os.environ)
    if held is not None:
        sockets.try_new(settings, held)
    privileges.become(settings.user, settings.group)
    asyncio.run(rehearse_app(settings, plans))


def workers(settings: Settings) -> int:
    """How many; "auto" is one for each core that we may use."""
    if settings.workers != "auto":
        return settings.workers
    alone = any(each.backend == "libmilter" for each in settings.listener)
    return 1 if alone else len(os.sched_getaffinity(0))
