"""`millrace model`: train, judge, list and show the models that score mail.

Prints for people; `--json` prints one object for machines.  Training needs the extra
`train`; the other commands need nothing.

Fails: Misconfigured, which ends the program with status 2.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from millrace.models import corpus, registry, train
from millrace.models.classify import Classifier
from millrace.models.evaluate import Figures
from millrace.models.registry import Manifest

_registry = click.option(
    "--registry",
    "registry_",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("millrace-models"),
    show_default=True,
    help="Folder of your own models.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_data = click.argument(
    "data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)


@click.group()
def model() -> None:
    """Train, judge, list and show the models that score mail.

    \b
    Examples:
      millrace model list
      millrace model train ~/mail-sorted --name ours
    """


@model.command("train")
@_data
@click.option("--name", default="own", show_default=True, help="What the model is called.")
@_registry
@_json
def train_(data: tuple[Path, ...], name: str, registry_: Path, as_json: bool) -> None:
    r"""Learn from labelled mail: folders or tar archives with ham/ and spam/ inside.

    \b
    Examples:
      millrace model train ~/mail-sorted
      millrace model train corpus.tar.xz feedback/ --name ours --registry /var/lib/millrace/models
    """
    report = train.train_from(data, registry_, name)
    if as_json:
        click.echo(_as_json(report.manifest, report.path))
        return
    known = report.manifest
    click.echo(
        f"trained {known.id} from {known.trained['ham']} ham and {known.trained['spam']} spam"
    )
    click.echo(f"written to {report.path}")
    click.echo(_table(report.figures, "held out"))
    click.echo(f'\nTo use it:   use = "spam"   model = "{name}"')


@model.command("eval")
@_data
@click.option("--model", "name", default="default", show_default=True, help="Which model.")
@click.option("--all", "everything", is_flag=True, help="Judge mails for training as well.")
@_registry
@_json
def eval_(
    data: tuple[Path, ...], name: str, everything: bool, registry_: Path, as_json: bool
) -> None:
    r"""Judge a model by labelled mail that training leaves out (one in five).

    \b
    Examples:
      millrace model eval ~/mail-sorted
      millrace model eval last-month.tar.xz --model ours --all
    """
    classifier = Classifier.load(registry.find(name, (registry_,)))
    mails = (mail for mail in corpus.samples(data) if everything or mail.held_out)
    found = train.evaluate(classifier, mails)
    if as_json:
        click.echo(json.dumps({"model": classifier.manifest.id, **asdict(found)}))
    else:
        click.echo(_table(found, classifier.manifest.id))


@model.command("list")
@_registry
@_json
def list_(registry_: Path, as_json: bool) -> None:
    r"""List the models that a pipeline can name; own ones hide shipped ones.

    \b
    Examples:
      millrace model list
      millrace model list --registry /var/lib/millrace/models --json
    """
    found = [(registry.manifest(path), path) for path in registry.every((registry_,))]
    if as_json:
        click.echo(json.dumps([{"name": m.name, "id": m.id, "path": str(p)} for m, p in found]))
        return
    for known, path in found:
        where = "shipped" if path.parent == registry.SHIPPED else str(path)
        learnt = f"{known.trained['ham']} ham, {known.trained['spam']} spam"
        click.echo(f"{known.name:<16} {known.version:<10} {learnt:<24} {where}")


@model.command("show")
@click.argument("name", default="default")
@_registry
@_json
def show(name: str, registry_: Path, as_json: bool) -> None:
    r"""Show what a model was trained on and how good it was on mail that it had not seen.

    \b
    Examples:
      millrace model show
      millrace model show ours --json
    """
    loaded = registry.load(registry.find(name, (registry_,)))
    known = loaded.manifest
    if as_json:
        click.echo(_as_json(known, loaded.path))
        return
    used = sum(1 for weight in loaded.weights if weight)
    click.echo(f"{known.id}   {loaded.path}")
    click.echo(f"  trained    {known.trained['ham']} ham, {known.trained['spam']} spam")
    click.echo(f"  features   version {known.features}, {used} of {len(loaded.weights)} in use")
    for cut in known.figures.get("cuts", ()):
        click.echo(
            f"  at {cut['threshold']:<4}    {_share(cut['recall'])} of spam found,"
            f" {_share(cut['false_positives'])} of ham hit   (held-out mail)"
        )


def _as_json(known: Manifest, path: Path) -> str:
    return json.dumps({"id": known.id, "path": str(path), **asdict(known)})


def _table(found: Figures, title: str) -> str:
    lines = [f"{title}: {found.ham} ham, {found.spam} spam"]
    lines.append("  threshold   spam found   ham hit   precision")
    lines += [
        f"  {cut.threshold:<9}   {_share(cut.recall):>10}   {_share(cut.false_positives):>7}"
        f"   {_share(cut.precision):>9}"
        for cut in found.cuts
    ]
    auc = "-" if found.auc is None else f"{found.auc:.4f}"
    brier = "-" if found.brier is None else f"{found.brier:.4f}"
    lines.append(f"  area under the curve {auc}, Brier score {brier}")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
