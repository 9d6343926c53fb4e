"""`millrace plan`: what runs when, after whom, and what the MTA will be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from millrace.engine import plans
from millrace.engine.cli.options import read, with_settings
from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline.plan import Node, Plan, Scope
from millrace.engine.servers.milter import wants
from millrace.engine.wire.milter import Command

_ASKED = {
    Command.CONNECT: "connect",
    Command.HELO: "helo",
    Command.MAIL: "mail",
    Command.RCPT: "rcpt",
    Command.HEADER: "headers",
    Command.BODY: "body",
}


@click.command()
@click.argument("pipeline", default="inbound")
@click.option("--policy", default="", metavar="NAME", help="Instead of the pipeline's own.")
@click.option("--dot", "form", flag_value="dot", help="Print Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print Mermaid.")
@with_settings
def plan(
    config: Path | None, overrides: tuple[str, ...], pipeline: str, policy: str, form: str | None
) -> None:
    """Show how a pipeline is wired: stages, edges, ports, rules, and the MTA's part.

    \b
    Examples:
      millrace plan inbound
      millrace plan inbound --dot | dot -Tsvg > inbound.svg
    """
    wired = plans.load_plan(read(config, overrides), pipeline, policy)
    shown = {"dot": _dot, "mermaid": _mermaid}.get(form or "", _text)
    click.echo("\n".join(shown(wired)))


def _text(plan: Plan) -> Iterator[str]:
    asked = wants(plan)
    events = " ".join(word for command, word in _ASKED.items() if command in asked.events)
    waits = " ".join(word for command, word in _ASKED.items() if command in asked.replies)
    head = f"{plan.name} · {len(plan.nodes)} filters · policy {plan.policy.name}"
    yield f"{head} · deadline {plan.deadline:g} s · revision {plan.revision}"
    yield f"the MTA is asked for: {events}"
    yield f"and waits for us at:  {waits + ' ' if waits else ''}end of message"
    yield ""
    width = max((len(node.name) for node in plan.nodes), default=0) + 2
    for stage in Stage:
        yield from _stage(plan, stage, width)
    dead = [rule.name for rule in plan.policy.rules if not rule.live]
    if dead:
        yield f"\nnever here, since no filter gives what they name: {', '.join(dead)}"


def _stage(plan: Plan, stage: Stage, width: int) -> Iterator[str]:
    nodes = [node for node in plan.nodes if node.stage == stage]
    nodes.sort(key=lambda node: (node.late, len(node.after)))
    for at, node in enumerate(nodes):
        label = stage.name if at == 0 else ""
        corner = "└─" if at == len(nodes) - 1 else "├─"
        ports = " ".join(port for _, port in node.ports)
        line = f"  {label:<9}{corner} {node.name:<{width}}{ports:<14}{_notes(plan, node)}"
        yield line.rstrip()
    for rule in (r for r in plan.policy.rules if r.stage == stage and r.live):
        each = ", for each recipient" if rule.recipient else ""
        yield f"  {stage.name if not nodes else '':<9}   rule {rule.name} → {rule.then.word}{each}"


def _notes(plan: Plan, node: Node) -> str:
    before = [other.name for other in plan.nodes if other.name in _before(plan, node)]
    parts = [f"after {', '.join(before)}"] if before else []
    parts += ["per recipient"] if node.scope is Scope.RECIPIENT else []
    parts += ["only mail that we take"] if node.late else []
    parts += [f'when "{node.when.text}"'] if node.when else []
    if node.on_error is not None:
        parts.append(f"on error {node.on_error.word}")
    return " · ".join(parts)


def _before(plan: Plan, node: Node) -> set[str]:
    return {other.name for other in plan.nodes} & node.asked


def _edges(plan: Plan) -> Iterator[tuple[str, str]]:
    for node in plan.nodes:
        for name in sorted(_before(plan, node)):
            yield name, node.name


def _dot(plan: Plan) -> Iterator[str]:
    yield f'digraph "{plan.name}" {{'
    yield "  rankdir=LR; node [shape=box, fontname=sans];"
    for stage in Stage:
        names = [node.name for node in plan.nodes if node.stage == stage]
        if names:
            members = "; ".join(f'"{name}"' for name in names)
            yield f'  subgraph "cluster_{stage.name}" {{ label="{stage.name}"; {members}; }}'
    for first, then in _edges(plan):
        yield f'  "{first}" -> "{then}";'
    yield "}"


def _mermaid(plan: Plan) -> Iterator[str]:
    yield "flowchart LR"
    for stage in Stage:
        names = [node.name for node in plan.nodes if node.stage == stage]
        if names:
            yield f"  subgraph {stage.name}"
            yield from (f"    {name}" for name in names)
            yield "  end"
    for first, then in _edges(plan):
        yield f"  {first} --> {then}"
