"""A picture in Graphviz's language."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.engine.cli.drawing.picture import Filter, Picture, Ruling


def dot(picture: Picture) -> Iterator[str]:
    """The lines; filters are boxes, rules are hexagons, dotted lines are what a rule reads."""
    yield "digraph millrace {"
    yield f"  label={_quoted(picture.title)}; labelloc=t; rankdir=LR;"
    yield "  node [shape=box, fontname=sans]; edge [color=gray40];"
    for stage, filters, rules in picture.stages():
        yield f"  subgraph cluster_{stage.name} {{"
        yield f"    label={stage.name}; color=gray70; fontname=sans;"
        yield from (f"    {_quoted(each.name)} [label={_box(each)}];" for each in filters)
        yield from (
            f"    rule{each.number} [shape=hexagon, label={_rule(each)}];" for each in rules
        )
        yield "  }"
    for each in picture.filters:
        yield from (f"  {_quoted(name)} -> {_quoted(each.name)};" for name in each.before)
    for rule in picture.rules:
        yield from (f"  {_quoted(n)} -> rule{rule.number} [style=dotted];" for n in rule.reads)
    yield "}"


def _box(each: Filter) -> str:
    lines = [each.name, " ".join(each.ports), *each.notes]
    lines += each.seen.words if each.seen is not None else ()
    return _quoted("\n".join(line for line in lines if line))


def _rule(rule: Ruling) -> str:
    lines = [f"{rule.number} {rule.name} → {rule.action}"]
    lines += ["for each recipient"] if rule.recipient else []
    lines += [f"{rule.hits:,} mails"] if rule.hits is not None else []
    return _quoted("\n".join(lines))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
