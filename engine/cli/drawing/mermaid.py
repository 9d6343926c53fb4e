"""A picture as a Mermaid flowchart, for pages that draw it themselves."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.engine.cli.drawing.picture import Filter, Picture, Ruling
from millrace.engine.mail.stage import Stage


def mermaid(picture: Picture) -> Iterator[str]:
    """The lines; filters are boxes, rules are hexagons, dotted lines are what a rule reads."""
    keys = {each.name: f"f{at}" for at, each in enumerate(picture.filters)}
    yield "---"
    yield f"title: {_quoted(picture.title)}"
    yield "---"
    yield "flowchart LR"
    for stage, filters, rules in picture.stages():
        yield f"  subgraph {Stage(stage).name}"
        yield from (f"    {keys[each.name]}[{_box(each)}]" for each in filters)
        yield from (f"    r{each.number}{{{{{_rule(each)}}}}}" for each in rules)
        yield "  end"
    for each in picture.filters:
        yield from (f"  {keys[name]} --> {keys[each.name]}" for name in each.before)
    for rule in picture.rules:
        yield from (f"  {keys[name]} -.-> r{rule.number}" for name in rule.reads)


def _box(each: Filter) -> str:
    lines = [each.name, " ".join(each.ports), *each.notes]
    lines += each.seen.words if each.seen is not None else ()
    return _quoted("<br/>".join(_plain(line) for line in lines if line))


def _rule(rule: Ruling) -> str:
    lines = [f"{rule.number} {rule.name} → {rule.action}"]
    lines += ["for each recipient"] if rule.recipient else []
    lines += [f"{rule.hits:,} mails"] if rule.hits is not None else []
    return _quoted("<br/>".join(_plain(line) for line in lines))


def _plain(text: str) -> str:
    """Text that Mermaid takes as text."""
    for letter, code in (("#", "#35;"), ("&", "#amp;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(letter, code)
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
