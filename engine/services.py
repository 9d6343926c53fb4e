"""The adapters behind the ports: opened once a process, bound for each mail.

What no plan asks for is not opened: without a greylist there is no state file.

Fails: `open` raises `Misconfigured` for what can never work, `Unavailable` for a folder or
file that cannot be used; a network service that is away is only said, since it may come back.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from millrace.engine.breaker import FAILURES, Breaker, Terms
from millrace.engine.errors import Unavailable
from millrace.engine.net import upstream
from millrace.engine.net.clamd import ClamdScanner
from millrace.engine.net.dns import BudgetedDns, CachedDns, Resolver
from millrace.engine.net.guarded import SILENT_ROW, GuardedResolver, GuardedScanner
from millrace.engine.net.resolver import StubResolver
from millrace.engine.net.zone import ZoneDns
from millrace.engine.pipeline.plan import Plan
from millrace.engine.plans import nodes_by_port
from millrace.engine.ports import Clock, State, Store
from millrace.engine.settings import Settings
from millrace.engine.state.opening import open_state
from millrace.engine.store.archive import Archive
from millrace.engine.store.keyring import KeyRing
from millrace.models.classify import Models

HEALTH_S = 2.0
PATIENCE_S = 5.0  # whoever waited so long in vain, or half his time-out, has met a time-out
PORTS = {"state": "state", "clamd": "scanner", "dns": "dns"}  # by service


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Health:
    """One service: its name, its address, "" or what is wrong with it."""

    name: str
    where: str
    trouble: str = ""
    breaker: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """For /readyz and /status."""
        told = {"name": self.name, "where": self.where, "ok": not self.trouble}
        told |= {"trouble": self.trouble} if self.trouble else {}
        return told | ({"breaker": dict(self.breaker)} if self.breaker is not None else {})


class Services:
    """All adapters of one process."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, resolver: Resolver | None = None
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._given = resolver
        self.dns: CachedDns | None = None
        self.state: State | None = None
        self.store: Store | None = None
        self.scanner: GuardedScanner | None = None
        self.breakers: list[Breaker] = []
        self._patience: dict[str, float] = {}
        self._stub_of: StubResolver | None = None
        self.models: Models | None = None
        self.keys: KeyRing | None = None
        self._sockets: frozenset[str] = frozenset()

    def open(self, plans: Iterable[Plan]) -> None:
        """Open what these plans ask for and is not open yet; call inside the running loop."""
        plans = list(plans)
        asked = {port for plan in plans for node in plan.nodes for _, port in node.ports}
        self._patience |= {port: _patience(plans, port) for port in asked}
        for breaker in self.breakers:  # a reload may have changed the time-outs
            breaker.terms = self._terms(breaker.service, breaker.terms.failures)
        if "dns" in asked and self.dns is None:
            bounds = (self.settings.dns.cache_entries, self.settings.dns.cache_size)
            self.dns = CachedDns(self._guarded(self.resolver()), time.monotonic, *bounds)
        if "state" in asked and self.state is None:
            place = self.settings.origins.get("state.url", "")
            breaker = self._breaker("state", self.settings.state.url.rpartition("@")[2])
            self.state = open_state(self.settings.state, self.settings.at, place, breaker)
        if "store" in asked and self.store is None:
            self.store = Archive(self.settings.at(self.settings.archive.path))
        if "keys" in asked and self.keys is None:
            self.keys = KeyRing(self.settings.at(self.settings.keys.path))
        if "scanner" in asked and self.scanner is None:
            made = functools.partial(self._breaker, "clamd")
            self.scanner = GuardedScanner(ClamdScanner(), made)
        if "classifier" in asked:
            self.models = self.models or Models([self.settings.at(self.settings.models.path)])
            for plan in plans:
                for node in nodes_by_port(plan, "classifier"):
                    self.models.require(node.filter.model)
        scanning = (node for plan in plans for node in nodes_by_port(plan, "scanner"))
        self._sockets = frozenset(node.filter.socket for node in scanning)

    def resolver(self) -> Resolver:
        """Who answers look-ups by these settings."""
        if self._given is not None:
            return self._given
        dns = self.settings.dns
        if dns.zone is not None:
            return ZoneDns.load(self.settings.at(dns.zone))
        return self._stub()

    @property
    def upstreams(self) -> Sequence[upstream.Upstream]:
        """The name servers that are asked, with their counters; none when a file answers."""
        return self._stub_of.upstreams if self._stub_of is not None else ()

    def _guarded(self, resolver: Resolver) -> Resolver:
        """A breaker before the network; a file needs none."""
        if not isinstance(resolver, StubResolver):
            return resolver
        self._stub_of = resolver
        where = " ".join(each.name for each in resolver.upstreams)
        return GuardedResolver(resolver, self._breaker("dns", where, SILENT_ROW))

    def _breaker(self, service: str, where: str, failures: int = FAILURES) -> Breaker:
        breaker = Breaker(service, where, self._terms(service, failures))
        self.breakers.append(breaker)
        return breaker

    def _terms(self, service: str, failures: int) -> Terms:
        patience = self._patience.get(PORTS[service], 2 * PATIENCE_S)
        return Terms(failures=failures, patience=min(patience / 2, PATIENCE_S))

    def _stub(self) -> StubResolver:
        """Our own resolver; resolv.conf's options count where the operator said nothing."""
        dns, chosen = self.settings.dns, self.settings.origins
        host = upstream.of_host() if not dns.servers else upstream.Host(dns.servers)
        timeout, tries = float(dns.timeout), dns.tries
        if chosen.get("dns.timeout", "default") == "default":
            timeout = host.timeout or timeout
        if chosen.get("dns.tries", "default") == "default":
            tries = host.attempts or tries
        return StubResolver(host.servers, timeout, tries, trusted=dns.trusted)

    def ports(self) -> dict[str, Any]:
        """What the filters of one mail may touch."""
        cache, budget = self.dns, self.settings.dns.budget
        dns = BudgetedDns(cache, budget) if cache is not None else None
        return {
            "dns": dns,
            "state": self.state,
            "store": self.store,
            "scanner": self.scanner,
            "classifier": self.models,
            "keys": self.keys,
            "clock": self.clock,
        }

    async def health(self) -> list[Health]:
        """Ask every service that is in use whether it is there, but none that is spared now."""
        checks = [self._state_health] if self.state is not None else []
        checks += [functools.partial(self._scanner_health, each) for each in sorted(self._sockets)]
        guards = {(each.service, each.where): each for each in self.breakers}
        dns = [Health("dns", each.where) for each in self.breakers if each.service == "dns"]
        found = [*await asyncio.gather(*(check() for check in checks)), *dns]
        found = [_told(each, guards.get((each.name, each.where))) for each in found]
        if self.store is not None:
            found.append(Health("archive", str(self.settings.at(self.settings.archive.path))))
        return found

    async def _state_health(self) -> Health:
        assert self.state is not None
        where = self.settings.state.url.rpartition("@")[2]
        if self._spared("state", where):
            return Health("state", where)
        try:
            async with asyncio.timeout(HEALTH_S):
                await self.state.ping()
        except (Unavailable, TimeoutError) as error:
            return Health("state", where, str(error) or "no answer")
        return Health("state", where)

    async def _scanner_health(self, socket: str) -> Health:
        assert self.scanner is not None
        if self._spared("clamd", socket):
            return Health("clamd", socket)
        try:
            await self.scanner.scanner.version(socket, HEALTH_S)
        except Unavailable as error:
            return Health("clamd", socket, error.detail or str(error))
        return Health("clamd", socket)

    def _spared(self, service: str, where: str) -> bool:
        sought = (service, where, "open")
        return any((each.service, each.where, each.state) == sought for each in self.breakers)

    async def close(self) -> None:
        """Write what is waiting and let go of everything."""
        if isinstance(self.store, Archive):
            await self.store.close()
        if self.state is not None:
            await self.state.close()
        if self.dns is not None:
            await self.dns.close()
        if self.scanner is not None:
            self.scanner.scanner.close()


def _told(health: Health, breaker: Breaker | None) -> Health:
    """With what the breaker knows, which may be that the service is away."""
    if breaker is None:
        return health
    told = breaker.as_json()
    return replace(health, trouble=health.trouble or _why(told), breaker=told)


def _why(told: Mapping[str, Any]) -> str:
    return str(told["why"]) or "away" if told["state"] == "open" else ""


def _patience(plans: Iterable[Plan], port: str) -> float:
    """The shortest time-out of the filters that use a port, in seconds."""
    nodes = (node for plan in plans for node in nodes_by_port(plan, port))
    return min((node.timeout for node in nodes), default=2 * PATIENCE_S)
