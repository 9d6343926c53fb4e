"""The daemon: settings in, open doors out; drained and closed at the end.

Composition only: services, one `Serving` for each pipeline, listeners, metrics, records.

Fails: `start` raises `Misconfigured` or `Unavailable` before any mail is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import platform
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from millrace.engine import reload
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.net import listener as sockets
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.nexthop import SmtpHop
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.policy.decision import Decision
from millrace.engine.ports import NextHop
from millrace.engine.reload import Reloaded
from millrace.engine.servers import http, milter, milter_backends, smtp
from millrace.engine.servers.http import Page, Response
from millrace.engine.servers.milter_backends import MilterListener as AnyListener
from millrace.engine.services import Health, Services
from millrace.engine.settings import Listener, Settings
from millrace.engine.store.maildir import Maildir
from millrace.engine.store.noting import Noting
from millrace.engine.store.reports import ReportStore
from millrace.engine.telemetry.journal import Journal
from millrace.engine.telemetry.log import Troubles, log_decision
from millrace.engine.telemetry.metrics import CONTENT_TYPE, DnsSeen, Metrics
from millrace.engine.wire.smtp import Limits

_log = logging.getLogger("millrace.app")
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Accepting:
    """One open door, and what the operator asked for."""

    kind: str
    settings: Listener | None
    listener: AnyListener


class App:
    """One process that serves."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services = Services(settings)
        self.metrics = Metrics()
        self.doors: list[Accepting] = []
        self.serving: dict[str, Serving] = {}
        self._journal: Journal | None = None
        self._noting: Noting | None = None
        self._draining = False
        self._troubles = Troubles()

    # --- life

    async def start(self) -> None:
        """Build every plan, open the services, then the doors."""
        if not self.settings.listener:
            hint = "Write one, or make a settings file with `millrace init`."
            place = Place(self.settings.source)
            raise Misconfigured(Fault("there is no [[listener]]: nothing to serve", hint, place))
        built = reload.build(self.settings, (each.pipeline for each in self.settings.listener))
        self.services.open(built.values())
        if self.settings.log.decisions is not None:
            self._journal = Journal(self.settings.at(self.settings.log.decisions))
        if self.settings.reports.observe:
            self._noting = self._note_for_reports()
        for name, plan in built.items():
            ports, clock = self.services.ports, self.services.clock
            self.serving[name] = Serving(plan, ports, clock, self._decided)
        self._show_plans()
        self.metrics.watch(self._dns_seen, self._connections)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self.stop, 0)  # a door that cannot open closes the others
            for each in self.settings.listener:
                self.doors.append(await self._open(each))
            if self.settings.http.address:
                self.doors.append(await self._open_http())
            undo.pop_all()

    async def stop(self, grace: float | None = None) -> None:
        """Take no new mail, let those under way end, write what is waiting."""
        self._draining = True
        grace = self.settings.limits.drain if grace is None else grace
        for door in self.doors:
            door.listener.stop()
        await asyncio.gather(*(door.listener.close(grace) for door in self.doors))
        self.doors.clear()
        if self._journal is not None:
            self._journal.flush()
        if self._noting is not None:
            await self._noting.close()
        await self.services.close()

    def reload(self) -> Reloaded:
        """Swap in what the files say now, or leave everything as it is."""
        outcome = reload.reload(self.settings, self.serving, self._ready)
        self.metrics.reloaded(outcome.result)
        self._show_plans()
        return outcome

    def _ready(self, plans: list[Plan]) -> None:
        self.services.open(plans)

    def _show_plans(self) -> None:
        plans = [serving.plan for serving in self.serving.values()]
        self.metrics.serving([(p.name, p.policy.name, p.revision) for p in plans])

    @property
    def revision(self) -> str:
        """The revisions in force, one if all are the same."""
        return " ".join(sorted({serving.plan.revision for serving in self.serving.values()}))

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

    def _dns_seen(self) -> DnsSeen | None:
        dns = self.services.dns
        if dns is None:
            return None
        servers = {each.name: each.counters for each in self.services.upstreams}
        return DnsSeen(dns.counters, len(dns), dns.octets, servers)

    def _connections(self) -> dict[str, int]:
        return {f"{d.kind} {d.listener.address}": d.listener.connections for d in self.doors}

    # --- doors

    async def _open(self, each: Listener) -> Accepting:
        serving, limits = self.serving[each.pipeline], self.settings.limits
        # all of an MTA's connections come from one address: only the whole bounds them
        of_one = limits.connections if each.kind == "milter" else limits.per_client
        bounds = sockets.Bounds(limits.connections, of_one, limits.idle)
        mode = octal(each.mode)
        if each.kind == "milter":
            mail = milter.Bounds(limits.message, limits.recipients, limits.spool_above)
            opened: AnyListener = await milter_backends.listen(
                each.backend,
                each.address,
                serving,
                each.address,
                mail,
                net_bounds=bounds,
                mode=mode,
                group=each.group,
            )
        else:
            served = smtp.SmtpFrontEnd(serving, self._door(each))
            opened = await sockets.listen(
                each.address,
                served.serve,
                bounds=bounds,
                full=smtp.FULL,
                mode=mode,
                group=each.group,
            )
        return Accepting(each.kind, each, opened)

    def _door(self, each: Listener) -> smtp.Door:
        limits = self.settings.limits
        name = each.hostname or platform.node()
        return smtp.Door(
            name=name,
            hop=next_hop(each.deliver, name, self.settings),
            listener=each.address,
            limits=Limits(size=limits.message, recipients=limits.recipients),
            tls=_tls_context(each, self.settings),
            trusted=_networks(each.trusted),
            spool_above=limits.spool_above,
        )

    async def _open_http(self) -> Accepting:
        pages: dict[tuple[str, str], Page] = {
            ("GET", "/metrics"): self._metrics_page,
            ("GET", "/healthz"): self._healthz_page,
            ("GET", "/readyz"): self._readyz_page,
            ("POST", "/reload"): self._reload_page,
        }

        async def serve(stream: Stream) -> None:
            await http.serve(stream, pages)

        bounds = sockets.Bounds(64, 64, http.IDLE_S)
        opened = await sockets.listen(self.settings.http.address, serve, bounds=bounds)
        return Accepting("http", None, opened)

    # --- pages

    async def _metrics_page(self) -> Response:
        return Response(200, self.metrics.page(), CONTENT_TYPE)

    async def _healthz_page(self) -> Response:
        return Response(200, b"ok\n")

    async def _readyz_page(self) -> Response:
        services = await self.services.health()
        if self._noting is not None and self._noting.trouble:
            where = str(self.settings.at(self.settings.reports.path))
            services.append(Health("reports", where, self._noting.trouble))
        data = {
            "status": self.status(services),
            "revision": self.revision,
            "services": {
                health.name: {"where": health.where, "ok": not health.trouble, **_trouble(health)}
                for health in services
            },
        }
        return Response(503 if self._draining else 200, _json(data), JSON)

    async def _reload_page(self) -> Response:
        outcome = self.reload()
        data = {
            "result": outcome.result,
            "revisions": dict(outcome.revisions),
            "problems": list(outcome.problems),
        }
        return Response(409 if outcome.result == "refused" else 200, _json(data), JSON)

    def status(self, services: list[Health]) -> str:
        """One word: ready, degraded (a service is away, mail goes on), stopping."""
        if self._draining:
            return "stopping"
        return "degraded" if any(health.trouble for health in services) else "ready"


def _trouble(health: Health) -> dict[str, str]:
    return {"trouble": health.trouble} if health.trouble else {}


def _json(data: object) -> bytes:
    return json.dumps(data, indent=2).encode() + b"\n"


def octal(mode: str) -> int:
    """A Unix socket's permissions; raises `Misconfigured`."""
    with contextlib.suppress(ValueError):
        value = int(mode, 8)
        if stat.S_IMODE(value) == value:
            return value
    raise Misconfigured(Fault(f"mode = '{mode}' is no file mode", 'It reads like "0660".'))


def next_hop(text: str, name: str, settings: Settings) -> NextHop:
    """The next hop that `smtp:…`, `lmtp:…` or `maildir:…` names."""
    scheme, _, rest = text.partition(":")
    if scheme == "maildir" and rest:
        return Maildir(settings.at(Path(rest)))
    if scheme in ("smtp", "lmtp") and rest:
        return SmtpHop(Endpoint.parse(rest), name, lmtp=scheme == "lmtp")
    hint = "It reads smtp:inet:10026@127.0.0.1, lmtp:unix:/path or maildir:/path."
    raise Misconfigured(Fault(f"deliver = '{text}' is no next hop", hint))


def _networks(texts: tuple[str, ...]) -> tuple[smtp.Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            hint = 'It reads like "127.0.0.1" or "192.0.2.0/24".'
            raise Misconfigured(Fault(f"trusted: '{text}' is no network", hint)) from None
    return tuple(found)


def _tls_context(each: Listener, settings: Settings) -> ssl.SSLContext | None:
    if each.tls_certificate is None:
        return None
    certificate = settings.at(each.tls_certificate)
    key = settings.at(each.tls_key) if each.tls_key is not None else None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        place = Place(str(certificate))
        raise Misconfigured(Fault(f"cannot be used for TLS: {error}", place=place)) from None
    return context
