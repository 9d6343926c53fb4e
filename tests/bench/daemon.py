"""The daemon under test: `millrace run` in a process and a folder of its own, on one core."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .corpus import Zone
from .noops import FILTERS

CHECKOUT = Path(__file__).resolve().parents[2]
READY_S = 60.0
_DOOR = re.compile(r"listening milter inet:(\d+)@")
BARE = ""  # in place of a pipeline: the yardstick
_RUN = "import sys; from millrace.engine.cli import main; sys.exit(main())"
_SETTINGS = """\
pipelines = "."
policies  = "."

[[listener]]
kind     = "milter"
address  = "inet:0@127.0.0.1"
pipeline = "bench"

[http]
address = ""

[dns]
{dns}

[limits]
per_client = 1000

[log]
format    = "json"
decisions = "decisions.jsonl"
"""


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, and MiB of memory."""

    cpu: float
    rss: float


@dataclass(frozen=True)
class Daemon:
    """One that runs, and the port that it listens on."""

    pid: int
    port: int

    def usage(self) -> Usage:
        """What all its threads have used, by the scheduler's own clock where there is one."""
        tasks = Path(f"/proc/{self.pid}/task")
        try:
            spent = [int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()]
            cpu = sum(spent) / 1e9
        except OSError:  # a kernel without it: ticks of 10 ms
            words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return Usage(cpu, int(found[1]) / 1024 if found else 0.0)


@contextlib.contextmanager
def daemon(
    folder: Path, pipeline: str, *, core: int, servers: str = "", zone: Zone | None = None
) -> Iterator[Daemon]:
    """Start one with this pipeline; DNS comes from servers, or from a zone file."""
    _write(folder, pipeline, servers, zone)
    command = [sys.executable, "-c", _RUN, "run", "--config", str(folder / "millrace.toml")]
    if pipeline == BARE:
        command = [sys.executable, "-m", "tests.bench.bare"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(folder), str(CHECKOUT)))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        ) as process,
    ):
        try:
            yield Daemon(process.pid, _port(process, folder / "log"))
        finally:
            process.terminate()


def _write(folder: Path, pipeline: str, servers: str, zone: Zone | None) -> None:
    (folder / "bench.toml").write_text(pipeline)
    (folder / "pass.toml").write_text('title = "Pass"\n')
    dns = f'servers = ["{servers}"]' if servers else ""
    if zone is not None:
        (folder / "zone.json").write_text(json.dumps(zone))
        dns = 'zone = "zone.json"'
    (folder / "millrace.toml").write_text(_SETTINGS.format(dns=dns))
    # the filters that do nothing come as a third party's do, by entry points
    package = folder / "noops-0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: noops\nVersion: 0\n")
    points = [f"{name} = tests.bench.noops:{cls.__name__}" for name, cls in FILTERS.items()]
    (package / "entry_points.txt").write_text("\n".join(["[millrace.filters]", *points, ""]))


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Read what it says until it is ready."""
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        said = log.read_text()
        if "\nready\n" in said and (found := _DOOR.search(said)):
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError("the daemon did not start:\n" + log.read_text())
