"""`millrace policy show`: the rules that count, for everybody or for one mail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from millrace.engine import history, plans
from millrace.engine.cli.options import read, with_settings
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.policy.laying import effective
from millrace.engine.policy.overlay import Overlay, Subject
from millrace.engine.policy.rule import Policy, Rule
from millrace.engine.settings import Settings


@click.command()
@click.option("--for", "recipients", metavar="ADDRESS", multiple=True, help="A recipient.")
@click.option("--login", metavar="USER", default="", help="Who is logged in.")
@click.option("--listener", metavar="ADDRESS", default="", help="The door, as the settings say.")
@click.option("--pipeline", metavar="NAME", default="", help="By default the first that serves.")
@click.option("--json", "as_json", is_flag=True, help="One list of objects.")
@with_settings
def show(
    config: Path | None,
    overrides: tuple[str, ...],
    recipients: tuple[str, ...],
    login: str,
    listener: str,
    pipeline: str,
    as_json: bool,
) -> int:
    """Show the rules that count, in their order, each with file and line.

    \b
    Examples:
      millrace policy show
      millrace policy show --for bob@example.org
      millrace policy show --login ann --pipeline submission

    Overlays (policies/overlays) that fit are laid over the policy; without --for, --login and
    --listener it is the policy alone.  Of several recipients all must be in an overlay, as for a
    mail that is judged as a whole.
    """
    for each in recipients:
        if "@" not in each:
            words = f"'{each}' is no address such as bob@example.org"
            raise click.BadParameter(words, param_hint="--for")
    settings = read(config, overrides)
    name = pipeline or _first(settings)
    policy, overlays = plans.policy_with_overlays(settings, name)
    subject = Subject(recipients, login, listener)
    rules = effective(policy, overlays, subject, time.time())
    if as_json:
        click.echo(json.dumps([_as_json(rule) for rule in rules], indent=2))
        return 0
    for line in _page(name, policy, overlays, subject, rules):
        click.echo(line)
    return 0


def _first(settings: Settings) -> str:
    found = (*history.served(settings), *plans.names(settings, "pipelines"))
    if not found:
        raise Misconfigured(Fault("there is no pipeline"))
    return found[0]


def _page(
    name: str, policy: Policy, overlays: list[Overlay], subject: Subject, rules: Sequence[Rule]
) -> Iterator[str]:
    fitting = [each.name for each in overlays if each.fits(subject)]
    told = "overlays " + ", ".join(fitting) if fitting else "no overlay fits"
    if not overlays:
        told = "no overlays"
    yield f"{name} · policy {policy.name} · {told}"
    yield ""
    width = max((len(rule.name) for rule in rules), default=0)
    for rule in rules:
        place = f"{rule.place.file}:{rule.place.line}"
        yield f"  {rule.name:<{width}}  {rule.then.word:<10}  {rule.stage.name:<7}  {place}"
        yield f"  {'':<{width}}  {' '.join(rule.when.text.split())}"
    kept = {rule.name for rule in rules}
    gone = [rule.name for rule in policy.rules if rule.name not in kept]
    if gone:
        yield ""
        yield f"dropped here: {', '.join(gone)}"


def _as_json(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name,
        "then": rule.then.word,
        "when": rule.when.text,
        "stage": rule.stage.name,
        "file": rule.place.file,
        "line": rule.place.line,
    }
