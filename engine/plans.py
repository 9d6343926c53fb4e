"""From names to plans: find the files, and wire them.

A pipeline or policy is looked for in the operator's folder first, then among the shipped
ones.  `NAME.test.toml` beside a policy is its test (see `trials`).

Fails: `Misconfigured`, with every fault that was found.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from millrace.engine.document import Document, meant
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.lists.shelf import Shelf, shelf
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan, read_policy, vocabulary
from millrace.engine.pipeline.plan import Node, Plan
from millrace.engine.pipeline.spec import PipelineSpec
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.overlay import Overlay, policy_of
from millrace.engine.policy.rule import Policy
from millrace.engine.policy.trial import Outcome
from millrace.engine.settings import Settings
from millrace.engine.store.history import file_name


@dataclass(frozen=True, slots=True)
class Trial:
    """The tests of one policy, run."""

    file: str
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The red ones."""
        return tuple(outcome for outcome in self.outcomes if outcome.problem)


def shelf_folder(kind: str) -> Path:
    """Where the shipped pipelines or policies stand."""
    return Path(str(importlib.resources.files(f"millrace.{kind}")))


def folders(settings: Settings, kind: str) -> tuple[Path, Path]:
    """Where files of a kind are looked for, in that order.

    A folder that somebody chose must be there: a misspelt one would let the shipped files serve.
    """
    own = settings.pipelines if kind == "pipelines" else settings.policies
    folder = settings.at(own)
    if own != Path(kind) and not folder.is_dir():
        hint = f"Make it, or mend {kind} in the settings."
        raise Misconfigured(Fault(f"{kind} = '{own}': there is no folder {folder}", hint))
    return folder, shelf_folder(kind)


def names(settings: Settings, kind: str) -> list[str]:
    """Every name of a kind."""
    found = {path.name for folder in folders(settings, kind) for path in folder.glob("*.toml")}
    return sorted(name.removesuffix(".toml") for name in found if not name.endswith(".test.toml"))


def document(settings: Settings, kind: str, name: str) -> Document:
    """The file of that name; `name` may be a path to a .toml file too."""
    return Document.load(path_of(settings, kind, name))


def path_of(settings: Settings, kind: str, name: str) -> Path:
    """Where that file stands; a shipped one only where nothing of that name does."""
    if settings.snapshot is not None:
        kept = settings.snapshot / kind / file_name(name)
        if kept.is_file():
            return kept
    if name.endswith(".toml") and (os.sep in name or os.path.lexists(name)):
        return Path(name)
    for folder in folders(settings, kind):
        if os.path.lexists(folder / f"{name}.toml"):
            return folder / f"{name}.toml"
    singular = {"pipelines": "pipeline", "policies": "policy"}[kind]
    hint = meant(name, names(settings, kind))
    raise Misconfigured(Fault(f"there is no {singular} '{name}'", hint))


def load_plan(settings: Settings, pipeline: str, policy: str = "") -> Plan:
    """The plan of a pipeline; `policy` puts another one in place of its own."""
    wired = load_spec(settings, pipeline)
    name = policy or wired.policy
    try:
        read = document(settings, "policies", name)
    except Misconfigured as error:
        raise _pointed(error, wired, policy) from None
    return compile_plan(wired, read, name, lists(settings), overlays(settings, name))


def _pointed(error: Misconfigured, wired: PipelineSpec, policy: str) -> Misconfigured:
    """The error of a policy that is not there, at the place that names it."""
    (fault,) = error.faults[:1]
    if policy or fault.place.file:
        return error
    return Misconfigured(wired.document.fault(("policy",), fault.sentence, fault.hint, offset=0))


def overlays(settings: Settings, policy: str) -> dict[str, Document]:
    """What lies over a policy: the files of `policies/overlays` that name it, in order."""
    folder = settings.at(settings.policies) / "overlays"
    if settings.snapshot is not None:
        folder = settings.snapshot / "overlays"
    found = {}
    for path in folder.glob("*.toml"):
        read = Document.load(path)
        known = names(settings, "policies")
        wanted = policy_of(read)
        if wanted == policy:
            found[unquote(path.name.removesuffix(".toml"))] = read
        elif wanted not in known:
            fault = read.fault(("policy",), f"there is no policy '{wanted}'", meant(wanted, known))
            raise Misconfigured(fault)
    return dict(sorted(found.items()))


def policy_with_overlays(
    settings: Settings, pipeline: str, policy: str = ""
) -> tuple[Policy, list[Overlay]]:
    """The policy of a pipeline and what lies over it, apart."""
    wired = load_spec(settings, pipeline)
    name, found = policy or wired.policy, lists(settings)
    words = vocabulary(load_plan(settings, pipeline, policy).nodes)
    read = document(settings, "policies", name)
    return read_policy(read, name, words, found, overlays(settings, name))


def list_shelf(settings: Settings) -> Shelf:
    """The lists of `policies/lists`, alive; one shelf in each process."""
    folder = settings.at(settings.policies) / "lists"
    return shelf(folder, settings.at(settings.lists.index))


def lists(settings: Settings) -> Lists:
    """The operator's lists by name, as their files are now."""
    return list_shelf(settings).open()


def load_spec(settings: Settings, pipeline: str) -> PipelineSpec:
    """A pipeline file, with what the settings say of its filters' failures."""
    read = spec.load(document(settings, "pipelines", pipeline), pipeline)
    if settings.scanner.when_absent == "on_error":
        return read
    forgiving = tuple(
        replace(f, on_error=None) if any(p.name == "scanner" for p in f.contract.ports) else f
        for f in read.filters
    )
    return replace(read, filters=forgiving)


def list_remarks(settings: Settings) -> tuple[Fault, ...]:
    """What is odd about the lists but no fault, such as an entry that stands twice."""
    shelf = list_shelf(settings)
    shelf.open()
    return tuple(remark for each in shelf.lists.values() for remark in each.remarks)


def tests_of(settings: Settings, policy: str) -> Path:
    """Where the tests of a policy stand, whether there are any or not."""
    path = path_of(settings, "policies", policy)
    return path.with_name(path.name.removesuffix(".toml") + ".test.toml")


def red_faults(trials: list[Trial]) -> Iterator[Fault]:
    """Each red case as a fault, for whoever refuses to load it."""
    for each in trials:
        for outcome in each.failed:
            yield Fault(f'test "{outcome.case.name}": {outcome.problem}', "", outcome.case.place)


def nodes_by_port(plan: Plan, port: str) -> tuple[Node, ...]:
    """The nodes that use a port."""
    return tuple(n for n in plan.nodes if any(bound == port for _, bound in n.ports))
