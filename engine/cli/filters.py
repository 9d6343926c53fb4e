"""`millrace filters`: what each filter does, its options and its facts.

`--markdown` writes the page contrib/docs/filters.md; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator

import click

from millrace.engine.document import meant
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.describe import Description, Setting, describe

WIDTH = 80
PAGE_HEAD = """# The filters

What each filter on the shelf does, when it runs, its options and its facts. This page is made from
the code: `millrace filters --markdown > contrib/docs/filters.md`. The same for one filter on a
terminal, also for one of your own: `millrace filters NAME`.

Every `[[filter]]` of a pipeline may also say `name` (the word for its facts, by default that of
`use`), `when` (a condition; otherwise it is skipped), `timeout` (by default "10s") and `on_error`
("skip", "tag", "quarantine", "defer" or "reject").
"""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--markdown", "form", flag_value="markdown", help="Print the page of the docs.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
def filters(names: tuple[str, ...], form: str | None) -> None:
    """Say what filters there are, and of each its options and what it tells policies.

    \b
    Examples:
      millrace filters
      millrace filters greylist dmarc
    """
    found = [_described(name) for name in names or shelf.names()]
    if form == "json":
        click.echo(json.dumps([_as_data(each) for each in found], indent=2))
    elif form == "markdown":
        click.echo("\n".join([PAGE_HEAD, *(line for each in found for line in _markdown(each))]))
    elif names:
        click.echo("\n\n".join("\n".join(_text(each)) for each in found))
    else:
        for each in found:
            click.echo(f"{each.name:<10} {_what(each)}")


def _described(name: str) -> Description:
    try:
        return describe(name)
    except LookupError:
        hint = meant(name, shelf.names())
        raise Misconfigured(Fault(f"there is no filter '{name}'", hint)) from None
    except ValueError as error:
        raise Misconfigured(Fault(f"filter '{name}' cannot be used: {error}")) from None


def _as_data(each: Description) -> dict[str, object]:
    return dataclasses.asdict(each) | {"stage": each.stage.name}


def _what(each: Description) -> str:
    return each.title.partition(": ")[2] or each.title


def _runs(each: Description) -> str:
    parts = [f"at {each.stage.name}"]
    parts += ["only for mail that we take"] if each.late else []
    parts += [f"after {', '.join(each.after)}"] if each.after else []
    parts += [f"touches {', '.join(each.ports)}"] if each.ports else []
    return "; ".join(parts)


def _text(each: Description) -> Iterator[str]:
    yield f"{each.name}: {_what(each)}"
    yield f"  runs {_runs(each)}"
    yield ""
    yield textwrap.indent(each.text, "  ")
    if each.fact:
        yield "\n" + textwrap.indent(each.fact, "  ")
    for title, rows in (("options", _option_rows(each)), ("facts", _fact_rows(each))):
        width = max((len(name) for name, _ in rows), default=0) + 2
        for at, (name, words) in enumerate(rows):
            if at == 0:
                yield f"\n  {title}"
            wrapped = textwrap.wrap(words, WIDTH - width - 4) or [""]
            yield f"    {name:<{width}}{wrapped[0]}"
            yield from (" " * (width + 4) + line for line in wrapped[1:])


def _option_rows(each: Description) -> list[tuple[str, str]]:
    return [(s.name, f"{s.help} ({s.type}{_default(s)})") for s in each.settings]


def _default(setting: Setting) -> str:
    if setting.required:
        return ", must be given"
    return f", default {setting.default}" if setting.default else ""


def _fact_rows(each: Description) -> list[tuple[str, str]]:
    return [(word.name, word.kind) for word in each.words]


def _markdown(each: Description) -> Iterator[str]:
    yield f"## {each.name}\n"
    what = _what(each)
    yield f"{what[:1].upper()}{what[1:]}\n"
    yield f"{each.text}\n" if each.text else ""
    yield f"*Runs {_runs(each)}.*\n"
    if each.settings:
        yield "| option | type | default | |\n|---|---|---|---|"
        for s in each.settings:
            default = "must be given" if s.required else _code(s.default)
            yield f"| `{s.name}` | {s.type} | {default} | {s.help} |"
        yield ""
    if each.words:
        yield f"{each.fact}\n"
        yield "| fact | |\n|---|---|"
        yield from (f"| `{word.name}` | {word.kind} |" for word in each.words)
        yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
