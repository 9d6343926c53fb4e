"""The office: the process that answers HTTP for all workers.

    GET /metrics   all workers' as one     GET /healthz   200 while the supervisor answers
    GET /readyz    200 or 503, JSON        GET /status    who runs, JSON
    GET /health/graph   which filters need which services, JSON; ?format=mermaid draws it
    POST /reload   200 or 409, JSON        POST /restart  202 or 409, JSON
                   ?who=…&why=… for the history

It holds no mail and no service of its own: it asks the supervisor, which asks the workers.

Fails: never outward; without a supervisor it ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from millrace.engine.breaker import LEVELS
from millrace.engine.health import graph, mermaid
from millrace.engine.net import listener as sockets
from millrace.engine.net.stream import Stream
from millrace.engine.servers import http
from millrace.engine.servers.http import Asking, Pages, Response
from millrace.engine.telemetry.merging import CONTENT_TYPE, merged, page
from millrace.engine.workers.channel import ChildEnd, Data

Ask = Callable[..., Awaitable[Data]]  # a question, and what is told with it
JSON = "application/json"
CONNECTIONS = 64
ANSWER_S = 30.0
BEAT_S = 1.0
WORDS = 500  # characters of who and why
_TOLD = ("who", "why")
REST_S = 1.0  # for whoever has connected and not asked yet


class Office:
    """The pages; `ask` puts a question to the supervisor."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    @property
    def pages(self) -> Pages:
        """By method and path."""
        return {
            ("GET", "/metrics"): self.metrics,
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("GET", "/status"): self.status,
            ("GET", "/health/graph"): self.graph,
            ("GET", "/health/graph?format=mermaid"): self.drawn,
            ("POST", "/reload"): Asking(self.reload),
            ("POST", "/restart"): self.restart,
        }

    async def metrics(self) -> Response:
        """Prometheus text."""
        return Response(200, page(merged(await self._ask("metrics"))), CONTENT_TYPE)

    async def healthz(self) -> Response:
        """Whether there is a supervisor that answers."""
        await self._ask("status")
        return Response(200, b"ok\n")

    async def readyz(self) -> Response:
        """Whether mail is taken, and which services are away."""
        told = await self._ask("health")
        services = worst(told["workers"])
        data = {
            "status": word(told, services.values()),
            "revision": told["revision"],
            "workers": told["serving"],
            "services": services,
        }
        ready = data["status"] in ("ready", "degraded")
        return Response(200 if ready else 503, _json(data), JSON)

    async def status(self) -> Response:
        """Who runs, and with what in hand."""
        told = await self._ask("status")
        health = await self._ask("health")
        services = worst(health["workers"])
        data = {"status": word(health, services.values())} | told | {"services": services}
        return Response(200, _json(data), JSON)

    async def graph(self) -> Response:
        """Which filters need which services, and which of these are away."""
        return Response(200, _json(await self._graph()), JSON)

    async def drawn(self) -> Response:
        """The same for Mermaid."""
        return Response(200, mermaid(await self._graph()).encode())

    async def _graph(self) -> dict[str, Any]:
        needs = await self._ask("needs")
        told = await self._ask("health")
        services = worst(told["workers"])
        return {"status": word(told, services.values())} | graph(needs, services)

    async def reload(self, query: Mapping[str, str]) -> Response:
        """New plans in all workers, or in none; the history keeps `who` and `why`."""
        told = await self._ask("reload", {key: query.get(key, "")[:WORDS] for key in _TOLD})
        return Response(409 if told["result"] == "refused" else 200, _json(told), JSON)

    async def restart(self) -> Response:
        """A new supervisor and new workers, doors open all the while."""
        told = await self._ask("restart")
        return Response(409 if told["result"] == "refused" else 202, _json(told), JSON)


def worst(workers: Iterable[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each service as the worker sees it that fares worst with it."""
    found: dict[str, dict[str, Any]] = {}
    for services in workers:
        for told in services:
            service = dict(told)
            name = service.pop("name")
            if name in found and found[name].get("where") != service.get("where"):
                name = f"{name} {service.get('where')}"  # a second one of that kind
            if name not in found or _badness(service) > _badness(found[name]):
                found[name] = service
    return found


def _badness(service: Mapping[str, Any]) -> tuple[bool, int]:
    state = service.get("breaker", {}).get("state", "closed")
    return not service["ok"], LEVELS[state]


def word(told: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> str:
    """ready, degraded (a service is away, mail goes on), stopping, or down (nobody takes mail)."""
    if told["stopping"]:
        return "stopping"
    if not told["serving"]:
        return "down"
    return "degraded" if any(not service["ok"] for service in services) else "ready"


def _json(data: object) -> bytes:
    return json.dumps(data, indent=2).encode() + b"\n"


async def run(channel: Any, given: sockets.Given, address: str) -> None:  # noqa: ANN401 - a socket
    """Answer until told to leave, or until the supervisor is gone."""
    leave = asyncio.Event()

    async def answer(what: str, data: Data) -> Data:
        if what == "leave":
            leave.set()

    talk = ChildEnd(channel, answer)

    async def ask(what: str, told: Data = None) -> Data:
        async with asyncio.timeout(ANSWER_S):
            return await talk.ask(what, told)

    async def serve(stream: Stream) -> None:
        await http.serve(stream, Office(ask).pages)

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # meant for the supervisor
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    bounds = sockets.Bounds(CONNECTIONS, CONNECTIONS, http.IDLE_S)
    door = await sockets.listen(address, serve, bounds=bounds, given=given)
    await talk.run()
    talk.tell("ready")
    while not (leave.is_set() or talk.over.is_set()):
        talk.tell("beat")
        for event in (leave, talk.over):
            try:
                async with asyncio.timeout(BEAT_S / 2):
                    await event.wait()
            except TimeoutError:
                continue
    await door.close(ANSWER_S, patience=REST_S)  # a reload that was begun is told
    await talk.close()
