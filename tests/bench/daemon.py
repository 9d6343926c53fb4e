"""The daemon under test: `millrace run` in a process and a folder of its own, on one core."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .corpus import Zone
from .noops import FILTERS

CHECKOUT = Path(__file__).resolve().parents[2]
READY_S = 60.0
_DOOR = re.compile(r"listening milter (\S+)")
BARE = ""  # in place of a pipeline: the yardstick
_RUN = "import sys; from millrace.engine.cli import main; sys.exit(main())"
_PROFILED = """\
import cProfile, os, signal
from millrace.engine.cli import main
profile, on = cProfile.Profile(), []
def turn(*_):
    if on:
        profile.disable()
        profile.dump_stats(f"profile.{os.getpid()}")
    else:
        on.append(profile.enable())
signal.signal(signal.SIGUSR1, turn)  # the children, which are forked, keep it
main()
"""
_SETTINGS = """\
pipelines = "."
policies  = "."

[[listener]]
kind     = "milter"
address  = "{address}"
pipeline = "bench"
mode     = "0666"

[http]
address = ""

[dns]
{dns}

[state]
url = "{state}"

[limits]
per_client = 20000
connections = {connections}

[log]
format    = "json"
decisions = "decisions.jsonl"
"""


@dataclass(frozen=True)
class Daemon:
    """One that runs, and the address that it listens on."""

    pid: int
    address: str


@dataclass(frozen=True)
class Setting:
    """How a daemon is set up; DNS comes from `servers`, or from a zone file."""

    pipeline: str
    address: str = "inet:0@127.0.0.1"
    servers: str = ""
    zone: Zone | None = None
    state: str = "embedded:state.db"
    connections: int = 2000
    workers: int = 1
    profiled: bool = False


@contextlib.contextmanager
def daemon(folder: Path, setting: Setting, cores: Collection[int]) -> Iterator[Daemon]:
    """Start one in a folder; it ends with the block."""
    _write(folder, setting)
    code = _PROFILED if setting.profiled else _RUN
    command = [sys.executable, "-c", code, "run", "--config", str(folder / "millrace.toml")]
    if setting.pipeline == BARE:
        command = [sys.executable, "-m", "tests.bench.bare"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(folder), str(CHECKOUT / "src"), str(CHECKOUT)))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        ) as process,
    ):
        try:
            yield Daemon(process.pid, _address(process, folder / "log"))
        finally:
            process.terminate()


def _write(folder: Path, setting: Setting) -> None:
    (folder / "bench.toml").write_text(setting.pipeline)
    (folder / "pass.toml").write_text('title = "Pass"\n')
    dns = f'servers = ["{setting.servers}"]' if setting.servers else ""
    if setting.zone is not None:
        (folder / "zone.json").write_text(json.dumps(setting.zone))
        dns = 'zone = "zone.json"'
    text = _SETTINGS.format(
        dns=dns, address=setting.address, state=setting.state, connections=setting.connections
    )
    workers = f"workers = {setting.workers}\n" if setting.workers > 1 else ""
    (folder / "millrace.toml").write_text(workers + text)
    # the filters that do nothing come as a third party's do, by entry points
    package = folder / "noops-0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: noops\nVersion: 0\n")
    points = [f"{name} = tests.bench.noops:{cls.__name__}" for name, cls in FILTERS.items()]
    (package / "entry_points.txt").write_text("\n".join(["[millrace.filters]", *points, ""]))


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Read what it says until it is ready."""
    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        said = log.read_text()
        if "\nready\n" in said and (found := _DOOR.search(said)):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError("the daemon did not start:\n" + log.read_text())
