"""`millrace policy reference`: every word of the policy language, from the code."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator

import click

from millrace.engine.document import meant
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.pipeline.reference import LISTS, Field, Name, as_data, names
from millrace.engine.policy.functions import FUNCTIONS


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def reference(words: tuple[str, ...], as_json: bool) -> None:
    """Say what conditions may name: facts, fields, types, choices, functions, units, keys.

    \b
    Examples:
      millrace policy reference
      millrace policy reference spf message matches
    """
    if as_json:
        click.echo(json.dumps(as_data(), indent=2))
        return
    known = {each.name: each for each in names()}
    for word in words:
        if word not in known and word not in FUNCTIONS:
            hint = meant(word, [*known, *FUNCTIONS])
            raise Misconfigured(Fault(f"nothing is called '{word}'", hint))
    if words:
        told = (_name(known[word]) if word in known else _function(word) for word in words)
        click.echo("\n\n".join("\n".join(lines) for lines in told))
        return
    click.echo("\n".join(_whole(list(known.values()))))


def _whole(known: list[Name]) -> Iterator[str]:
    data = as_data()
    for each in known:
        yield from _name(each)
        yield ""
    yield "lists        files beside the policies, lists/NAME.KIND"
    yield from (f"  {kind:<11}{example}" for kind, example in LISTS.items())
    yield "\nfunctions"
    width = max(len(each.usage) for each in FUNCTIONS.values()) + 2
    yield from (f"  {each.usage:<{width}}{each.help}" for each in FUNCTIONS.values())
    yield f"\noperators    {' '.join(data['operators'])}"
    yield f"sizes        {' '.join(data['units']['octets'])}   25MiB"
    yield f"times        {' '.join(data['units']['seconds'])}   5m"
    for table in ("rule", "weight"):
        yield f"\nkeys of [[{table}]]"
        for key in data["keys"][table]:
            need = "  (needed)" if key["required"] else ""
            yield from _wrapped(f"  {key['name']:<12}", key["help"] + need)
    yield f"\nthen         {' '.join(data['actions'])}"


def _function(name: str) -> Iterator[str]:
    yield from _wrapped(f"{FUNCTIONS[name].usage}  ", FUNCTIONS[name].help)


def _name(each: Name) -> Iterator[str]:
    known = f"known at {each.stage}" if each.stage else "known with the last weight"
    own = ", for each recipient" if each.recipient else ""
    yield from _wrapped(f"{each.name:<13}", f"{each.help}  {known}{own}, from {each.giver}")
    width = max((len(field.name) for field in each.fields), default=0) + 2
    for field in each.fields:
        yield from _wrapped(f"  {field.name:<{width}}", _told(field))


def _told(field: Field) -> str:
    return "one of: " + " ".join(field.choices) if field.choices else field.type


def _wrapped(head: str, text: str) -> Iterator[str]:
    width = max(min(shutil.get_terminal_size((100, 24)).columns, 100), 60)
    lines = textwrap.wrap(text, width - len(head), break_on_hyphens=False) or [""]
    yield head + lines[0]
    yield from (" " * len(head) + line for line in lines[1:])
