"""`millrace graph`: a pipeline and its policy as a picture, with live counts."""

from __future__ import annotations

from pathlib import Path

import click

from millrace.engine import plans
from millrace.engine.cli.drawing import live as living
from millrace.engine.cli.drawing.dot import dot
from millrace.engine.cli.drawing.live import Live
from millrace.engine.cli.drawing.mermaid import mermaid
from millrace.engine.cli.drawing.picture import picture
from millrace.engine.cli.drawing.svg import svg
from millrace.engine.cli.office import at_option, endpoint, page
from millrace.engine.cli.options import read, with_settings
from millrace.engine.errors import Unavailable
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.pipeline.plan import Plan

_FORMS = {"mermaid": mermaid, "dot": dot, "svg": svg}


@click.command()
@click.argument("pipeline", default="inbound")
@click.option("--policy", default="", metavar="NAME", help="Instead of the pipeline's own.")
@click.option(
    "--format", "form", type=click.Choice(list(_FORMS)), default="mermaid", show_default=True
)
@click.option("--live", is_flag=True, help="With latencies and hits of the daemon that runs.")
@at_option
@with_settings
def graph(
    config: Path | None,
    overrides: tuple[str, ...],
    pipeline: str,
    policy: str,
    form: str,
    live: bool,
    at: str | None,
) -> None:
    """Draw a pipeline and its rules: filters by stage, who waits for whom, what each rule reads.

    \b
    Examples:
      millrace graph inbound --format svg > inbound.svg
      millrace graph inbound --format svg --live > now.svg
      millrace graph --format mermaid

    Hits are mails that a rule decided or marked; a filter's runs are those of all pipelines
    that have a filter of this name. SVG needs no other program.
    """
    plan = plans.load_plan(read(config, overrides), pipeline, policy)
    seen = _seen(plan, endpoint(at, config, overrides)) if live else None
    click.echo("\n".join(_FORMS[form](picture(plan, seen))))


def _seen(plan: Plan, where: Endpoint) -> Live:
    status, text = page(where, "/metrics")
    if status != 200:
        raise Unavailable(f"millrace at {where}", f"/metrics answers {status}")
    try:
        seen = living.read(text, plan.name)
    except ValueError as error:
        raise Unavailable(f"millrace at {where}", f"/metrics cannot be read: {error}") from None
    if seen.revision != plan.revision:
        serves = f"serves revision {seen.revision}" if seen.revision else "does not serve it"
        words = f"the files make revision {plan.revision} of {plan.name}, the daemon {serves}"
        click.echo(words, err=True)
    return seen
