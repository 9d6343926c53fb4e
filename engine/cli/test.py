"""`millrace test`: run the tests beside the policies, or write one from a mail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from millrace.engine import plans, trials
from millrace.engine.cli import junit, newcase
from millrace.engine.cli.options import read, with_settings
from millrace.engine.pipeline.plan import Plan
from millrace.engine.plans import Trial
from millrace.engine.policy.mismatch import sum_of
from millrace.engine.policy.trial import Outcome
from millrace.engine.settings import Settings

PATH = click.Path(path_type=Path)
_Tried = list[tuple[Plan, Trial]]


@click.command()
@with_settings
@click.option("--pipeline", "named", metavar="NAME", multiple=True, help="Only these pipelines.")
@click.option("--policy", metavar="NAME", default="", help="Try this policy instead of their own.")
@click.option("-v", "--verbose", is_flag=True, help="Name the tests that pass, too.")
@click.option("--junit", "report", type=PATH, metavar="FILE", help="Write JUnit's XML, too.")
@click.option("--new", "mail", type=PATH, metavar="MAIL.eml", help="Write a test from this mail.")
@click.option("--name", default="", metavar="WORDS", help="New: what the test is called.")
@click.option("--ip", default="", help="New: the peer's address.")
@click.option("--helo", help="New: the name that it gave itself.")
@click.option("--from", "sender", default="", metavar="ADDR", help="New: the envelope sender.")
@click.option("--to", "recipients", multiple=True, metavar="ADDR", help="New: a recipient.")
@click.option("--login", default="", metavar="USER", help="New: who is logged in.")
@click.option("--dns", type=PATH, metavar="ZONE", help="New: answers; by default the real DNS.")
@click.option("--scanner", default="", metavar="FOUND", help="New: what the virus scanner finds.")
@click.option("--now", metavar="TIME", help="New: the mail's time; by default now.")
def test(config: Path | None, overrides: tuple[str, ...], **given: Any) -> int:  # noqa: ANN401
    """Run every policy's tests: facts or a mail in, verdict out.

    \b
    Examples:
      millrace test
      millrace test --pipeline inbound --policy strict -v --junit report.xml
      millrace test --new mail.eml --ip 192.0.2.7 --from a@b.example --to ann@example.net

    A test that is made from a mail keeps a copy of it, of the DNS answers that it met, and
    of its time, so that it means the same tomorrow, without a network.

    Exit status 0 when all pass, 1 when one does not.
    """
    settings = read(config, overrides)
    if given["mail"] is not None:
        _new(settings, given)
        return 0
    tried = list(_tried(settings, given["named"], given["policy"]))
    outcomes = list(_once(outcome for _, trial in tried for outcome in trial.outcomes))
    for outcome in outcomes:
        if outcome.problem:
            click.echo("\n".join(_failed(outcome)))
        elif given["verbose"]:
            click.echo(f"passed  {outcome.case.name}")
    if given["report"] is not None:
        _reported(given["report"], tried)
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    passed = len(outcomes) - failed
    click.echo(f"{passed} passed" + (f", {failed} failed" if failed else ""))
    for line in _untried(tried):
        click.echo(line)
    return 1 if failed else 0


def _new(settings: Settings, given: dict[str, Any]) -> None:
    pipeline = given["named"][0] if given["named"] else _served(settings)
    try:
        case = newcase.visit(given["mail"], given)
        chosen = (pipeline, given["policy"], given["mail"], case, given["dns"], given["name"])
        click.echo("\n".join(newcase.write(newcase.Wish(settings, *chosen))))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _served(settings: Settings) -> str:
    return settings.listener[0].pipeline if settings.listener else "inbound"


def _tried(settings: Settings, named: tuple[str, ...], policy: str) -> Iterator[tuple[Plan, Trial]]:
    for name in named or plans.names(settings, "pipelines"):
        plan = plans.load_plan(settings, name, policy)
        trial = trials.try_policy(settings, plan)
        if trial is not None:
            yield plan, trial


def _once(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """A case that comes out alike in several pipelines of one policy, once."""
    seen: set[tuple[object, ...]] = set()
    for outcome in outcomes:
        alike = (outcome.case.place, outcome.problem, *outcome.difference)
        if alike not in seen:
            seen.add(alike)
            yield outcome


def _reported(path: Path, tried: _Tried) -> None:
    try:
        junit.write(path, [(plan.name, trial) for plan, trial in tried])
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None


def _failed(outcome: Outcome) -> Iterator[str]:
    yield f"FAILED  {outcome.case.place}  {outcome.case.name}"
    yield f"        {outcome.problem}"
    if outcome.terms and outcome.case.score is None:
        yield f"        score {sum_of(outcome.terms)}"
    yield from (f"        · {line}" for line in outcome.difference)


def _untried(tried: _Tried) -> Iterator[str]:
    """In words, the rules that decided no case and the weights that added to none."""
    by_policy: dict[str, _Tried] = {}
    for plan, trial in tried:
        by_policy.setdefault(plan.policy.name, []).append((plan, trial))
    for name, group in by_policy.items():
        outcomes = [outcome for _, trial in group for outcome in trial.outcomes]
        decided = {outcome.rule for outcome in outcomes}
        added = {term.name for outcome in outcomes for term in outcome.terms}
        policies = [plan.policy for plan, _ in group]
        rules = [(e.name, e.place) for p in policies for e in p.rules if e.live]
        weights = [(e.name, e.place) for p in policies for e in p.weights if e.live]
        left = _listed("rule", [e for e in rules if e[0] not in decided])
        left += _listed("weight", [e for e in weights if e[0] not in added])
        if left:
            yield f"never tried by a test of {name}: {', '.join(left)}"


def _listed(kind: str, entries: Sequence[tuple[str, object]]) -> list[str]:
    return [
        f"{kind} {name} ({str(place).rpartition(':')[0]})" for name, place in dict(entries).items()
    ]
