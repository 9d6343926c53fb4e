"""`millrace chaos`: break a copy of this installation, and see what holds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from millrace.engine import plans
from millrace.engine.chaos import drill
from millrace.engine.chaos.drill import Report
from millrace.engine.chaos.mails import Bearer
from millrace.engine.chaos.scenarios import SCENARIOS, Scenario
from millrace.engine.chaos.site import Site
from millrace.engine.chaos.threaded import Faults
from millrace.engine.chaos.ways import Ways
from millrace.engine.cli.options import read, with_settings
from millrace.engine.document import meant
from millrace.engine.settings import Settings

_NAME = max(len(scenario.name) for scenario in SCENARIOS)


@click.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "listed", is_flag=True, help="Show the scenarios, and which can be run.")
@click.option("--pipeline", default="inbound", show_default=True, help="Which pipeline is drilled.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=drill.FAULT_S,
    show_default=True,
    help="How long each fault lasts.",
)
@click.option("--ip", default=Bearer().ip, show_default=True, help="Who seems to bring the mails.")
@click.option("--domain", default=Bearer().domain, show_default=True, help="Their sender's domain.")
@click.option(
    "--to", "recipient", default=Bearer().recipient, show_default=True, help="Their recipient."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a scenario, one a line.")
@with_settings
def chaos(
    config: Path | None,
    overrides: tuple[str, ...],
    names: tuple[str, ...],
    listed: bool,
    pipeline: str,
    seconds: float,
    ip: str,
    domain: str,
    recipient: str,
    as_json: bool,
) -> int:
    """Break services and processes of a copy of this installation, and check what must hold.

    \b
    Examples:
      millrace chaos --list
      millrace chaos state-down worker-killed --config /etc/millrace/millrace.toml

    The copy has your settings, pipeline and policy, and doors, files and processes of its own; a
    proxy stands before each service, so that the real one is not hurt.  Mails are made up.

    Exit status: 0, or 1 when something did not hold.
    """
    settings = read(config, overrides)
    chosen = _chosen(names)
    missing = _missing(settings, pipeline)
    if listed:
        _list(chosen, missing)
        return 0
    bearer = Bearer(ip, domain, recipient)
    reports = []
    for report in _drilled(settings, pipeline, chosen, missing, bearer, seconds):
        reports.append(report)
        click.echo(json.dumps(asdict(report)) if as_json else "\n".join(_lines(report)))
    return 1 if any(report.broken for report in reports) else 0


def _chosen(names: Sequence[str]) -> Sequence[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            hint = meant(name, known)
            raise click.UsageError(f"there is no scenario '{name}'. {hint}")
    return [known[name] for name in names] or SCENARIOS


def _missing(settings: Settings, pipeline: str) -> dict[str, str]:
    """Services that no proxy can stand before, and why."""
    with Faults() as faults, tempfile.TemporaryDirectory() as folder:
        return Ways(settings, plans.load_spec(settings, pipeline), faults, Path(folder)).missing


def _list(chosen: Sequence[Scenario], missing: dict[str, str]) -> None:
    for scenario in chosen:
        reason = missing.get(scenario.service)
        not_here = f" (not here: {reason})" if reason else ""
        click.echo(f"{scenario.name:{_NAME}}  {scenario.words}{not_here}")


def _drilled(
    settings: Settings,
    pipeline: str,
    chosen: Sequence[Scenario],
    missing: dict[str, str],
    bearer: Bearer,
    seconds: float,
) -> Iterator[Report]:
    for scenario in chosen:
        if scenario.service in missing:
            click.echo(f"{scenario.name:{_NAME}}  not run: {missing[scenario.service]}", err=True)
            continue
        with (
            tempfile.TemporaryDirectory(prefix="millrace-drill-") as folder,
            Faults() as faults,
            Site(settings, pipeline, Path(folder), faults) as site,
        ):
            yield drill.run(site, scenario, bearer, seconds)


def _lines(report: Report) -> Iterator[str]:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(report.verdicts.items()))
    back = f"back after {report.recovery:.1f} s" if report.recovery is not None else "not back"
    word = "BROKEN" if report.broken else "ok"
    yield f"{report.scenario:{_NAME}}  {word:6}  {back}; {report.mails} mails: {counts}; " + (
        f"slowest {report.slowest:.1f} s"
    )
    if not report.taken_before:
        yield f"{'':{_NAME}}  no mail was taken, even before: {report.untaken}"
        yield f"{'':{_NAME}}  where the sender is why, try --ip, --domain and --to of a good one"
    for sentence in report.broken:
        yield f"{'':{_NAME}}  {sentence}"
