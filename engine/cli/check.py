"""`millrace check`: do settings, pipelines and policies fit together?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from millrace.engine import checking
from millrace.engine.checking import Report, Surveyed
from millrace.engine.cli import sarif
from millrace.engine.cli.options import read, with_settings
from millrace.engine.doors import next_hop, octal
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.policy.analysis.finding import Finding
from millrace.engine.settings import Settings


@click.command()
@with_settings
@click.option("--pipeline", "named", metavar="NAME", multiple=True, help="Only these pipelines.")
@click.option("--policy", metavar="NAME", default="", help="Check this policy in place of theirs.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    help="For people, for scripts, or for code hosts (SARIF 2.1.0).",
)
def check(
    config: Path | None, overrides: tuple[str, ...], named: tuple[str, ...], policy: str, form: str
) -> int:
    """Read everything as `run` would, and say what is wrong, where, and how to mend it.

    \b
    Examples:
      millrace check
      millrace check --config new/millrace.toml --pipeline inbound
      millrace check --policy strict --format sarif > check.sarif

    A problem is what cannot be meant: a word that is not known, a red test, a rule that no
    mail ever meets. A note is worth knowing and may well be meant.

    Exit status 0 when all is well, 1 when something must be mended; notes alone are 0.
    """
    try:
        report = _report(read(config, overrides), named, policy)
    except Misconfigured as error:
        report = Report((), tuple(Finding("unfit", "error", fault) for fault in error.faults))
    if form == "text":
        click.echo("\n".join(_told(report)))
    else:
        begun = str(config or "millrace.toml")
        shown = sarif.log(report.findings, begun) if form == "sarif" else _data(report)
        click.echo(json.dumps(shown, indent=2))
    return 1 if report.errors else 0


def _report(settings: Settings, named: tuple[str, ...], policy: str) -> Report:
    report = checking.check(settings, named, policy)
    faults = dict.fromkeys(_check_listeners(settings))
    found = [Finding("unfit", "error", fault) for fault in faults]
    return Report(report.surveyed, (*found, *report.findings))


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


def _told(report: Report) -> Iterator[str]:
    notes = [finding for finding in report.findings if finding.level == "note"]
    for finding in report.errors:
        yield f"{finding.fault}\n"
    if not report.errors:
        yield from map(_summary, report.surveyed)
        yield from [""] if notes else []
    for finding in notes:
        yield f"note: {finding.fault}\n"
    if report.findings:
        counted = [_counted(report.errors, "problem")] if report.errors else []
        counted += [_counted(notes, "note")] if notes else []
        yield ", ".join(counted) + "."


def _counted(findings: Sequence[Finding], word: str) -> str:
    files = {f.fault.place.file for f in findings if f.fault.place.file}
    where = f" in {len(files)} file" + ("s" if len(files) != 1 else "") if files else ""
    return f"{len(findings)} {word}" + ("s" if len(findings) != 1 else "") + where


def _summary(each: Surveyed) -> str:
    plan, trial = each.plan, each.trial
    tests = f"{len(trial.outcomes)} tests pass" if trial else "no tests"
    rules = f"{len(plan.policy.rules)} rules, {len(plan.policy.weights)} weights, {tests}"
    filters = f"{len(plan.nodes)} filter" + ("s" if len(plan.nodes) != 1 else "")
    counted = f"{plan.name}: {filters} · policy {plan.policy.name} ({rules})"
    return f"{counted} · revision {plan.revision}"


def _data(report: Report) -> dict[str, object]:
    pipelines = [
        {"name": s.plan.name, "policy": s.plan.policy.name, "revision": s.plan.revision}
        for s in report.surveyed
    ]
    return {
        "problems": len(report.errors),
        "notes": len(report.findings) - len(report.errors),
        "findings": [_finding(finding) for finding in report.findings],
        "pipelines": pipelines,
    }


def _finding(finding: Finding) -> dict[str, object]:
    fault = finding.fault
    return {
        "code": finding.code,
        "level": finding.level,
        "file": fault.place.file,
        "line": fault.place.line,
        "column": fault.place.column,
        "width": fault.width,
        "sentence": fault.sentence,
        "hint": fault.hint,
    }
