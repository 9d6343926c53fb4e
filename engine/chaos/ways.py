"""A fault proxy before each service: the store, name servers, scanners.

Fails: OSError when a port cannot be had.  What a proxy cannot stand before is `missing`,
with the reason; drills that need it are not run.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from millrace.engine.chaos.copies import Reach
from millrace.engine.chaos.datagrams import DatagramProxy
from millrace.engine.chaos.proxy import Proxy
from millrace.engine.chaos.threaded import Faults
from millrace.engine.chaos.toxics import Toxic
from millrace.engine.net import upstream
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.pipeline.spec import PipelineSpec
from millrace.engine.settings import Settings

Service = str  # "state", "dns" or "clamd"
_NAME = "drill"
_REDIS_PORT = 6379
_PORT_TRIES = 20


class Ways:
    """The proxies of one copy, by service."""

    def __init__(
        self, settings: Settings, spec: PipelineSpec, faults: Faults, folder: Path
    ) -> None:
        self._faults = faults
        self._folder = folder
        self.streams: dict[Service, list[Proxy]] = {"state": [], "dns": [], "clamd": []}
        self.datagrams: list[DatagramProxy] = []
        self.missing: dict[Service, str] = {}
        self.reach = Reach(self._state(settings), self._dns(settings), self._scanners(spec))

    # --- faults

    def poison(self, service: Service, toxic: Toxic) -> None:
        """Let a toxic at all that passes."""
        for proxy in self._proxies(service):
            self._faults.change(proxy.add, _NAME, toxic)

    def cure(self, service: Service) -> None:
        """Take it away."""
        for proxy in self._proxies(service):
            self._faults.change(proxy.remove, _NAME)

    def down(self, service: Service) -> None:
        """Be dead."""
        for proxy in self._proxies(service):
            self._faults.wait(proxy.down())

    def up(self, service: Service) -> None:
        """Be there again, at the same address."""
        for proxy in self._proxies(service):
            self._faults.wait(proxy.up())

    def _proxies(self, service: Service) -> list[Proxy | DatagramProxy]:
        return [*self.streams[service], *(self.datagrams if service == "dns" else [])]

    # --- what stands before what

    def _state(self, settings: Settings) -> str:
        state = settings.state
        if state.url.startswith("embedded:"):
            self.missing["state"] = f"the state is embedded ({state.url}): no service can be away"
            return "embedded:state.db"
        if state.sentinels or state.cluster or state.url.startswith("rediss:"):
            self.missing["state"] = "the way to it cannot be broken: Sentinels, a cluster or TLS"
            return state.url
        url = urlsplit(state.url)
        user = url.netloc.rpartition("@")[0]
        if url.scheme == "unix":
            listen = Endpoint("unix", path=str(self._folder / "state.ctl"))
            self._stream("state", Endpoint("unix", path=url.path), listen)
            return state.url.replace(url.path, listen.path, 1)
        family = "inet6" if ":" in (url.hostname or "") else "inet"
        service = Endpoint(family, url.hostname or "127.0.0.1", url.port or _REDIS_PORT)
        port = self._stream("state", service).listen.port
        return urlunsplit(url._replace(netloc=f"{user}@127.0.0.1:{port}".removeprefix("@")))

    def _dns(self, settings: Settings) -> tuple[str, ...]:
        if settings.dns.zone is not None:
            self.missing["dns"] = f"all look-ups are answered from {settings.dns.zone}"
            return ()
        found = []
        for name in settings.dns.servers or upstream.of_host().servers:
            host, port = upstream.parse(name).address
            family = "inet6" if ":" in host else "inet"
            found.append(f"127.0.0.1:{self._both((host, port), Endpoint(family, host, port))}")
        return tuple(found)

    def _both(self, datagrams: tuple[str, int], stream: Endpoint) -> int:
        """One port for both of a name server's transports."""
        for left in reversed(range(_PORT_TRIES)):
            port = self._stream("dns", stream).listen.port
            try:
                self.datagrams.append(self._faults.datagrams(datagrams, port=port))
            except OSError:  # free for one of them only
                self._faults.wait(self.streams["dns"].pop().down())
                if not left:
                    raise
            else:
                return port
        raise AssertionError

    def _scanners(self, spec: PipelineSpec) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in spec.filters:
            where = getattr(each.filter, "socket", "")
            if where and any(port.name == "scanner" for port in each.contract.ports):
                port = self._stream("clamd", _scanner(where)).listen.port
                found[where] = f"127.0.0.1:{port}"
        if not found:
            self.missing["clamd"] = "the pipeline has no scanner"
        return found

    def _stream(self, service: Service, where: Endpoint, listen: Endpoint | None = None) -> Proxy:
        proxy = self._faults.stream(where, listen) if listen else self._faults.stream(where)
        self.streams[service].append(proxy)
        return proxy


def _scanner(where: str) -> Endpoint:
    if where.startswith("/"):
        return Endpoint("unix", path=where)
    host, _, port = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    return Endpoint("inet6" if ":" in host else "inet", host, int(port))
