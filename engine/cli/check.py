"""`millrace check`: do settings, pipelines and policies fit together?"""

from __future__ import annotations

from pathlib import Path

import click

from millrace.engine import plans
from millrace.engine.cli.options import read, with_settings
from millrace.engine.doors import next_hop, octal
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.settings import Settings


@click.command()
@with_settings
@click.option("--pipeline", "named", metavar="NAME", multiple=True, help="Only these pipelines.")
def check(config: Path | None, overrides: tuple[str, ...], named: tuple[str, ...]) -> int:
    """Read everything as `run` would, and say what is wrong, where, and how to mend it.

    \b
    Examples:
      millrace check
      millrace check --config new/millrace.toml --pipeline inbound

    Exit status 0 when all is well, 1 when something must be mended.
    """
    try:
        settings = read(config, overrides)
    except Misconfigured as error:
        return _told(list(error.faults))
    names = named or _names(settings)
    faults: list[Fault] = []
    lines: list[str] = []
    for name in names:
        _check_pipeline(settings, name, faults, lines)
    faults += _check_listeners(settings)
    if faults:
        return _told(faults)
    for line in [*lines, *plans.list_remarks(settings)]:
        click.echo(line)
    return 0


def _names(settings: Settings) -> list[str]:
    served = [listener.pipeline for listener in settings.listener]
    return list(dict.fromkeys([*served, *plans.names(settings, "pipelines")]))


def _check_pipeline(settings: Settings, name: str, faults: list[Fault], lines: list[str]) -> None:
    try:
        plan = plans.load_plan(settings, name)
        trial = plans.try_policy(settings, plan)
    except Misconfigured as error:
        faults += error.faults
        return
    if trial is not None:
        faults += plans.red_faults([trial])
    tests = f"{len(trial.outcomes)} tests pass" if trial else "no tests"
    rules = f"{len(plan.policy.rules)} rules, {len(plan.policy.weights)} weights, {tests}"
    counted = f"{name}: {len(plan.nodes)} filters · policy {plan.policy.name} ({rules})"
    lines.append(f"{counted} · revision {plan.revision}")


def _check_listeners(settings: Settings) -> list[Fault]:
    faults: list[Fault] = []
    for each in settings.listener:
        try:
            Endpoint.parse(each.address)
            octal(each.mode)
            if each.kind == "smtp":
                next_hop(each.deliver, "localhost", settings)
        except Misconfigured as error:
            faults += error.faults
    return faults


def _told(faults: list[Fault]) -> int:
    unique = list(dict.fromkeys(faults))
    files = {fault.place.file for fault in unique if fault.place.file}
    for fault in unique:
        click.echo(f"{fault}\n")
    problems = f"{len(unique)} problem" + ("s" if len(unique) != 1 else "")
    where = f" in {len(files)} file" + ("s" if len(files) != 1 else "") if files else ""
    click.echo(f"{problems}{where}.")
    return 1
