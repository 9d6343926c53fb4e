"""What a picture of a pipeline shows: filters and rules by stage, and edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from millrace.engine.cli.drawing.live import Live, Seen
from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline.plan import Node, Plan, Scope


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter; `before` are the filters whose facts it waits for, `notes` short remarks."""

    name: str
    stage: Stage
    ports: tuple[str, ...]
    before: tuple[str, ...]
    notes: tuple[str, ...]
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule that is alive here, by its number in the file; `hits` None when nobody counted."""

    number: int
    name: str
    action: str
    when: str
    stage: Stage
    recipient: bool
    reads: tuple[str, ...]
    hits: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole, in the order of the file."""

    title: str
    filters: tuple[Filter, ...]
    rules: tuple[Ruling, ...]

    def stages(self) -> Iterator[tuple[Stage, tuple[Filter, ...], tuple[Ruling, ...]]]:
        """Each stage at which something happens."""
        for stage in Stage:
            filters = tuple(each for each in self.filters if each.stage == stage)
            rules = tuple(each for each in self.rules if each.stage == stage)
            if filters or rules:
                yield stage, filters, rules


def picture(plan: Plan, live: Live | None = None) -> Picture:
    """The picture of a plan; `live` adds what a daemon has counted."""
    head = f"{plan.name} · policy {plan.policy.name} · deadline {plan.deadline:g} s"
    mails = f" · {live.mails:,} mails" if live is not None else ""
    names = {node.name for node in plan.nodes}
    rules = [
        Ruling(
            at,
            rule.name,
            rule.then.word,
            " ".join(rule.when.text.split()),
            rule.stage,
            rule.recipient,
            tuple(node.name for node in plan.nodes if node.name in _read(plan, rule.when.names)),
            live.rules.get(rule.name, 0) if live is not None else None,
        )
        for at, rule in enumerate(plan.policy.rules, 1)
        if rule.live
    ]
    filters = tuple(_filter(node, names, live) for node in plan.nodes)
    return Picture(f"{head} · revision {plan.revision}{mails}", filters, tuple(rules))


def _read(plan: Plan, names: frozenset[str]) -> frozenset[str]:
    """The filters that a condition reads; a score reads what the weights read."""
    if "score" not in names:
        return names
    weights = [weight for weight in plan.policy.weights if weight.live]
    added = [w.add.names | (w.when.names if w.when else frozenset()) for w in weights]
    return names.union(*added)


def _filter(node: Node, names: set[str], live: Live | None) -> Filter:
    notes = ["per recipient"] if node.scope is Scope.RECIPIENT else []
    notes += ["only mail that we take"] if node.late else []
    notes += [f"on error {node.on_error.word}"] if node.on_error is not None else []
    ports = tuple(port for _, port in node.ports)
    before = tuple(sorted(node.asked & names))
    seen = live.filters.get(node.name, Seen()) if live is not None else None
    return Filter(node.name, node.stage, ports, before, tuple(notes), seen)
