"""`millrace run`: the daemon, in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from millrace.engine.app import App
from millrace.engine.cli import demo
from millrace.engine.cli.options import read, with_settings
from millrace.engine.settings import Settings
from millrace.engine.telemetry import log


@click.command()
@click.option("--demo", "is_demo", is_flag=True, help="Open both doors on free ports, in ./demo.")
@click.option("--log", "form", type=click.Choice(["auto", "text", "json"]), help="As log.format.")
@with_settings
def run(config: Path | None, overrides: tuple[str, ...], is_demo: bool, form: str | None) -> int:
    """Serve until SIGTERM; then let mails under way end.  SIGHUP reloads.

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
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, is_demo))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where the extra `fast` is installed: it halves the cost of TLS."""
    with contextlib.suppress(ImportError):
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return None


async def _serve(settings: Settings, is_demo: bool) -> None:
    app = App(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    await app.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked at again
    await _say(app)
    if is_demo:
        _tell(demo.try_it(app))
    await ended.wait()
    _tell("stopping: no new mail is taken, mails under way end")
    await app.stop()


async def _say(app: App) -> None:
    """What is open, what is missing, and `ready`."""
    settings = app.settings
    version = importlib.metadata.version("millrace")
    _tell(f"millrace {version} · profile {settings.profile} · revision {app.revision}")
    for door in app.doors:
        _tell(f"listening {door.kind} {door.listener.address}{_role(door.settings)}")
    for health in await app.services.health():
        if health.trouble:
            meanwhile = _meanwhile(app, health.name)
            _tell(f"{health.name} is away at {health.where}: {health.trouble}{meanwhile}")
    _tell("ready")


def _role(listener: Any) -> str:  # noqa: ANN401 - a listener of the settings, or None
    if listener is None:
        return "  /metrics /healthz /readyz"
    deliver = f" → {listener.deliver}" if listener.deliver else ""
    return f"  pipeline {listener.pipeline}{deliver}"


_USERS = {"clamd": "scanner", "state": "state"}


def _meanwhile(app: App, service: str) -> str:
    """What happens to mail while a service is away."""
    told = []
    for serving in app.serving.values():
        for node in serving.plan.nodes:
            if any(port == _USERS.get(service) for _, port in node.ports):
                word = node.on_error.word if node.on_error is not None else "skip"
                told.append(f"{node.name} answers by its on_error ({word})")
    return "; " + ", ".join(dict.fromkeys(told)) if told else ""


def _tell(text: str) -> None:
    click.echo(text, err=True)
