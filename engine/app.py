"""One process that takes mail: settings in, open doors out; drained at the end.

Composition only: services, one `Serving` for each pipeline, doors, metrics, records.

Fails: `start` raises `Misconfigured` or `Unavailable` before any mail is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.engine import plans as files
from millrace.engine import reload
from millrace.engine.census import Census, Seat
from millrace.engine.doors import Door, Doorway, look_at, open_door
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.health import needs_of
from millrace.engine.lists.shelf import LivingList
from millrace.engine.net import listener as sockets
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.policy.decision import Decision
from millrace.engine.pressure import Pressure, Room
from millrace.engine.reload import Reloaded
from millrace.engine.services import Health, Services
from millrace.engine.settings import Settings
from millrace.engine.store.noting import Noting
from millrace.engine.store.reports import ReportStore
from millrace.engine.telemetry.breakers import BreakerCollector
from millrace.engine.telemetry.journal import Journal
from millrace.engine.telemetry.listings import ListCollector
from millrace.engine.telemetry.log import Troubles, log_decision
from millrace.engine.telemetry.metrics import DnsSeen, Metrics


@dataclass(frozen=True, slots=True)
class Stand:
    """A worker's seat among all, and the sockets that were bound for it, by door."""

    seat: Seat
    given: Mapping[int, sockets.Given] = field(default_factory=dict)


def plans_of(settings: Settings, passed_by: reload.PassedBy = lambda _: None) -> dict[str, Plan]:
    """The plans of all doors, their policies tested; raises `Misconfigured`."""
    if not settings.listener:
        hint = "Write one, or make a settings file with `millrace init`."
        place = Place(settings.source)
        raise Misconfigured(Fault("there is no [[listener]]: nothing to serve", hint, place))
    return reload.first(settings, (each.pipeline for each in settings.listener), passed_by)


async def rehearse(settings: Settings, plans: Mapping[str, Plan]) -> None:
    """Open the services that these plans ask for, look at the doors, and close all."""
    for each in settings.listener:
        look_at(settings, each)
    services = Services(settings)
    try:
        services.open(plans.values())
    finally:
        await services.close()


class App:
    """One process that takes mail: the only one, or one of several workers."""

    def __init__(self, settings: Settings, stand: Stand | None = None) -> None:
        self.settings = settings
        self.services = Services(settings)
        self.metrics = Metrics()
        self.doors: list[Door] = []
        self.serving: dict[str, Serving] = {}
        self.reloading = reload.Reload(settings, self.serving, self.services.open)
        self._stand = stand or Stand(Census(1, len(settings.listener)).seat(0))
        room = Room(settings.limits.mails, settings.limits.in_work)
        self._pressure = Pressure(room, self._stand.seat)
        self._journal: Journal | None = None
        self._noting: Noting | None = None
        self._troubles = Troubles()

    # --- life

    async def start(self, plans: Mapping[str, Plan] | None = None) -> None:
        """Open the services that the plans ask for, then the doors; None: build the plans."""
        if plans is None:
            plans = plans_of(self.settings)
        self.services.open(plans.values())
        if self.settings.log.decisions is not None:
            self._journal = Journal(self.settings.at(self.settings.log.decisions))
        if self.settings.reports.observe:
            self._noting = self._note_for_reports()
        for name, plan in plans.items():
            ports, clock = self.services.ports, self.services.clock
            self.serving[name] = Serving(plan, ports, clock, self._decided)
        self._show_plans()
        self.metrics.watch(self._dns_seen, self._connections, self._refused)
        self.metrics.registry.register(BreakerCollector(self.services.breakers))
        self.metrics.registry.register(ListCollector(self._lists))
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self.stop, 0)  # a door that cannot open closes the others
            await self._open_doors()
            undo.pop_all()

    async def _open_doors(self) -> None:
        for number, each in enumerate(self.settings.listener):
            serving = self.serving[each.pipeline]
            way = Doorway(sockets.Place(self._stand.seat, number), self._stand.given.get(number))
            opened = await open_door(self.settings, each, serving, self._pressure, way)
            self.doors.append(opened)
        self._stand.seat.accept(doors_open=True)

    async def stop(self, grace: float | None = None, patience: float = 0.0) -> None:
        """Take no new mail, let those under way end, write what is waiting.

        For `patience` seconds connections without a mail may go on too.
        """
        grace = self.settings.limits.drain if grace is None else grace
        self._stand.seat.accept(doors_open=False)
        for door in self.doors:
            door.listener.stop()
        await asyncio.gather(*(door.listener.close(grace, patience) for door in self.doors))
        self.doors.clear()
        if self._journal is not None:
            self._journal.flush()
        if self._noting is not None:
            await self._noting.close()
        await self.services.close()

    async def watch_lists(self) -> None:
        """Put lists in force whose files have changed, until cancelled."""
        every, shelf = self.settings.lists.poll, files.list_shelf(self.settings)
        while every > 0:
            await asyncio.sleep(every)
            for each in shelf.changed():
                await asyncio.to_thread(shelf.renew, each)

    async def prepare(self) -> Reloaded | None:
        """The first half of a reload; None when `commit` may follow."""
        return await self.reloading.prepare()

    def commit(self) -> Reloaded:
        """The second half: the new plans serve."""
        outcome = self.reloading.commit()
        self._show_plans()
        return outcome

    def _show_plans(self) -> None:
        plans = [serving.plan for serving in self.serving.values()]
        self.metrics.serving([(p.name, p.policy.name, p.revision) for p in plans])

    # --- what is decided

    def _decided(self, decision: Decision) -> None:
        self.metrics.decided(decision)
        log_decision(decision)
        self._troubles.note(decision.runs)
        if self._journal is not None:
            self._journal.write(decision.as_json())
        if self._noting is not None:
            self._noting.note(decision)

    def _note_for_reports(self) -> Noting:
        """The file is made with the first mail that it has something to say of."""
        chosen = self.settings.reports
        store = ReportStore(self.settings.at(chosen.path), chosen.keep)
        return Noting(store, self.services.clock, chosen.address)

    # --- what is told of it

    def report(self) -> dict[str, Any]:
        """What one worker knows of itself."""
        return {
            "revisions": self.reloading.in_force,
            "connections": self._connections(),
            "refused": self._refused(),
            "lists": [each.as_json() for each in self._lists()],
        }

    async def health(self) -> list[Health]:
        """Every service in use, and whether it is there."""
        services = await self.services.health()
        if self._noting is not None and self._noting.trouble:
            where = str(self.settings.at(self.settings.reports.path))
            services.append(Health("reports", where, self._noting.trouble))
        return services

    def needs(self) -> list[dict[str, Any]]:
        """Which filters of the plans that serve need which services."""
        return needs_of(serving.plan for serving in self.serving.values())

    def _lists(self) -> list[LivingList]:
        """By name."""
        found = files.list_shelf(self.settings).lists
        return [found[name] for name in sorted(found)]

    def _connections(self) -> dict[str, int]:
        return {f"{d.kind} {d.listener.address}": d.listener.connections for d in self.doors}

    def _refused(self) -> dict[str, int]:
        """Connections and mails that there was no room for."""
        listeners = (d.listener for d in self.doors if isinstance(d.listener, sockets.Listener))
        connections = sum(listener.refused for listener in listeners)
        return {"connections": connections, "mails": self._pressure.refused}

    def _dns_seen(self) -> DnsSeen | None:
        dns = self.services.dns
        if dns is None:
            return None
        servers = {each.name: each.counters for each in self.services.upstreams}
        return DnsSeen(dns.counters, len(dns), dns.octets, servers)
