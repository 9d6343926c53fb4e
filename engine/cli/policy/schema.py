"""`millrace policy schema`: JSON Schemas by which editors check files."""

from __future__ import annotations

import json

import click

from millrace.engine.pipeline.schema import SCHEMAS


@click.command()
@click.argument("kind", type=click.Choice(list(SCHEMAS)), default="policy")
def schema(kind: str) -> None:
    """Print the JSON Schema of a policy file, an overlay, or a pipeline file.

    \b
    Examples:
      millrace policy schema > policy.schema.json
      millrace policy schema overlay > overlay.schema.json
      millrace policy schema pipeline > pipeline.schema.json

    An editor with a TOML language server takes it by a first line in the file, such as
    `#:schema ./policy.schema.json`.
    """
    click.echo(json.dumps(SCHEMAS[kind](), indent=2))
