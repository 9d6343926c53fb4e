"""The scene of all drills: a real Redis, name server and clamd, and a copy that asks them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from live import parties
from live.nameservers import NameServers
from live.redises import RedisServer

from millrace.engine.chaos import drill
from millrace.engine.chaos.drill import Report
from millrace.engine.chaos.mails import Bearer
from millrace.engine.chaos.scenarios import Scenario
from millrace.engine.chaos.site import Site
from millrace.engine.chaos.threaded import Faults
from millrace.engine.settings import Settings, load

FAULT_S = 2.0
BEARER = Bearer("192.0.2.7", "plain.example", "ann@rcpt.example")
SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[dns]
servers = ["{dns}"]
timeout = "500ms"
[state]
url = "{redis}"
timeout = "500ms"
"""
PIPELINE = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
timeout = "4s"
[[filter]]
use = "greylist"
[[filter]]
use = "ratelimit"
per = "address"
limit = 1000000
[[filter]]
use = "spam"
[[filter]]
use = "virus"
socket = "{clamd}"
timeout = "2s"
on_error = "{virus}"
[[filter]]
use = "archive"
"""


@dataclass
class Services:
    """What the copy asks; every one is real, and may be hurt."""

    folder: Path
    redis: RedisServer
    names: NameServers
    scanner: subprocess.Popen[bytes]
    clamd: Path

    def scan_again(self) -> None:
        """Start the scanner at the same socket."""
        self.clamd.unlink(missing_ok=True)
        self.scanner, self.clamd = parties.clamd(self.folder / "clamd")

    def kill_scanner(self) -> None:
        """As a crash would."""
        self.scanner.kill()
        self.scanner.wait()


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All three, running."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        names = NameServers(folder / "names")
        stack.callback(names.stop)
        names.start()
        made = Services(folder, redis, names, *parties.clamd(folder / "clamd"))
        stack.callback(made.kill_scanner)
        yield made


@dataclass
class Scene:
    """Where one drill takes place; `virus` is what happens when the scanner is away."""

    services: Services
    folder: Path
    virus: str = "skip"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def copy(self) -> Path:
        """Where the copy lives."""
        return self.folder / "copy"

    def drill(self, scenario: Scenario, seconds: float = FAULT_S) -> Report:
        """Run it, print what came of it, and fail where something did not hold."""
        self.copy.mkdir(parents=True, exist_ok=True)
        with Faults() as faults:
            settings = self._settings()
            with Site(settings, "inbound", self.copy, faults, self.environment) as site:
                report = drill.run(site, scenario, BEARER, seconds)
        print(f"{report.scenario}: back after {report.recovery} s, {report.verdicts}")
        assert report.broken == (), (report, (self.copy / "log").read_text()[-3000:])
        assert report.taken_before > 0, report
        return report

    def _settings(self) -> Settings:
        text = SETTINGS.format(dns=self.services.names.address, redis=self.services.redis.url)
        (self.folder / "millrace.toml").write_text(text)
        (self.folder / "pipelines").mkdir()
        wired = PIPELINE.format(clamd=self.services.clamd, virus=self.virus)
        (self.folder / "pipelines" / "inbound.toml").write_text(wired)
        return load(self.folder / "millrace.toml")
