"""`millrace test`: run the tests that stand beside the policies."""

from __future__ import annotations

from pathlib import Path

import click

from millrace.engine import plans
from millrace.engine.cli.options import read, with_settings
from millrace.engine.policy.trial import Outcome


@click.command()
@with_settings
@click.option("--pipeline", "named", metavar="NAME", multiple=True, help="Only these pipelines.")
@click.option("--policy", metavar="NAME", default="", help="Try this policy instead of their own.")
@click.option("-v", "--verbose", is_flag=True, help="Name the tests that pass, too.")
def test(
    config: Path | None,
    overrides: tuple[str, ...],
    named: tuple[str, ...],
    policy: str,
    verbose: bool,
) -> int:
    """Run every policy's tests: facts in, verdict out.

    \b
    Examples:
      millrace test
      millrace test --pipeline inbound --policy strict -v

    Exit status 0 when all pass, 1 when one does not.
    """
    settings = read(config, overrides)
    outcomes: list[Outcome] = []
    for name in named or plans.names(settings, "pipelines"):
        trial = plans.try_policy(settings, plans.load_plan(settings, name, policy))
        outcomes += trial.outcomes if trial else ()
    for outcome in outcomes:
        if outcome.problem:
            click.echo(f"FAILED  {outcome.case.place}  {outcome.case.name}")
            click.echo(f"        {outcome.problem}")
        elif verbose:
            click.echo(f"passed  {outcome.case.name}")
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    passed = len(outcomes) - failed
    click.echo(f"{passed} passed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0
