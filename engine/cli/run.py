"""`millrace run`: the daemon, in the foreground."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from millrace.engine.cli import demo
from millrace.engine.cli.options import read, with_settings
from millrace.engine.pipeline.plan import Plan
from millrace.engine.reload import revisions_of
from millrace.engine.settings import Settings
from millrace.engine.telemetry import log
from millrace.engine.workers import daemon
from millrace.engine.workers.sockets import Bound
from millrace.engine.workers.supervisor import Started


@click.command()
@click.option("--demo", "is_demo", is_flag=True, help="Open both doors on free ports, in ./demo.")
@click.option("--log", "form", type=click.Choice(["auto", "text", "json"]), help="As log.format.")
@click.option("--rehearse", is_flag=True, hidden=True)
@with_settings
def run(
    config: Path | None,
    overrides: tuple[str, ...],
    is_demo: bool,
    form: str | None,
    rehearse: bool,
) -> int:
    """Serve until SIGTERM; then let mails under way end.  SIGHUP reloads, SIGUSR2 restarts.

    \b
    Examples:
      millrace run --demo
      millrace run --config /etc/millrace/millrace.toml --log json

    One line `listening KIND ADDRESS` for each door, then `ready`, on stderr.
    """
    if form is not None:
        overrides = (*overrides, f"log.format={form}")
    settings = demo.settings(overrides) if is_demo else read(config, overrides)
    log.set_up(settings.log.format, settings.log.level)
    if rehearse:
        daemon.rehearse(settings)
        return 0

    def ready(plans: Mapping[str, Plan], bounds: Sequence[Bound], started: Started) -> None:
        _say(settings, plans, bounds, started)
        if is_demo:
            _tell(demo.try_it({bound.kind: bound.endpoint.port for bound in bounds}))

    status = daemon.serve(settings, ready)
    if status == 0:
        _tell("stopped: no mail is under way")
    return status


def _say(
    settings: Settings, plans: Mapping[str, Plan], bounds: Sequence[Bound], started: Started
) -> None:
    """What is open, what is missing, and `ready`."""
    version = importlib.metadata.version("millrace")
    revision = " ".join(sorted(set(revisions_of(plans).values())))
    _tell(f"millrace {version} · profile {settings.profile} · revision {revision}")
    for number, bound in enumerate(bounds):
        _tell(f"listening {_address(bound, number, started)}{_role(settings, number)}")
    for name, service in started.services.items():
        if not service["ok"]:
            meanwhile = _meanwhile(plans.values(), name)
            _tell(f"{name} is away at {service['where']}: {service['trouble']}{meanwhile}")
    _tell("ready")


def _address(bound: Bound, number: int, started: Started) -> str:
    if not bound.socks:  # libmilter has bound it, in the worker
        return str(list(started.report["connections"])[number])
    return f"{bound.kind} {bound.endpoint}"


def _role(settings: Settings, number: int) -> str:
    if number == len(settings.listener):
        return "  /metrics /healthz /readyz /status /health/graph"
    listener = settings.listener[number]
    deliver = f" → {listener.deliver}" if listener.deliver else ""
    return f"  pipeline {listener.pipeline}{deliver}"


_USERS = {"clamd": "scanner", "state": "state"}


def _meanwhile(plans: Iterable[Plan], service: str) -> str:
    """What happens to mail while a service is away."""
    told = []
    for plan in plans:
        for node in plan.nodes:
            if any(port == _USERS.get(service) for _, port in node.ports):
                word = node.on_error.word if node.on_error is not None else "skip"
                told.append(f"{node.name} answers by its on_error ({word})")
    return "; " + ", ".join(dict.fromkeys(told)) if told else ""


def _tell(text: str) -> None:
    click.echo(text, err=True)
