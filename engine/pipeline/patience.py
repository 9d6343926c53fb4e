"""Time-outs against the deadline: is there time for what the operator allowed?

Filters of one stage run side by side unless one asks for another's fact; stages follow each
other.  So the time that a mail may take is the longest way through the pipeline.  Only
time-outs that stand in the file are counted: a default is nobody's promise.
"""

from __future__ import annotations

from collections.abc import Iterator

from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline.plan import Node
from millrace.engine.pipeline.spec import FilterSpec, PipelineSpec
from millrace.engine.policy.analysis.finding import Finding


def strained(spec: PipelineSpec, nodes: tuple[Node, ...]) -> Iterator[Finding]:
    """Time-outs that cannot be reached, alone or one after another."""
    written = {f.name: f.timeout for f in spec.filters if _writes(spec, f)}
    long = [f for f in spec.filters if written.get(f.name, 0) > spec.deadline]
    for each in long:
        sentence = f"{each.name} may take {each.timeout:g} s, a whole mail {spec.deadline:g} s"
        yield _finding(spec, each, sentence)
    way = [name for stage in Stage for name in _longest(nodes, written, stage)]
    total = sum(written.get(name, 0) for name in way)
    if long or total <= spec.deadline:
        return
    said = " + ".join(f"{n} {written[n]:g} s" for n in way if n in written)
    sentence = f"the time-outs add up to {total:g} s, a whole mail may take {spec.deadline:g} s"
    last = next(f for f in spec.filters if f.name == [n for n in way if n in written][-1])
    yield _finding(spec, last, sentence, f"One after another: {said}.\n")


def _writes(spec: PipelineSpec, entry: FilterSpec) -> bool:
    listed = [each.path for each in spec.filters].index(entry.path)
    return "timeout" in spec.document.data["filter"][listed]


def _finding(spec: PipelineSpec, entry: FilterSpec, sentence: str, words: str = "") -> Finding:
    hint = words + "Raise the deadline, and the MTA's patience with it, or lower the time-out."
    fault = spec.document.fault((*entry.path, "timeout"), sentence, hint)
    return Finding("deadline", "note", fault, entry.name)


def _longest(nodes: tuple[Node, ...], written: dict[str, float], stage: Stage) -> list[str]:
    """The chain of one stage that may take longest."""
    best: dict[str, list[str]] = {}
    here = {node.name: node for node in nodes if node.stage == stage}

    def cost(way: list[str]) -> float:
        return sum(written.get(name, 0) for name in way)

    def ways(name: str) -> list[str]:
        if name not in best:
            before = [ways(other) for other in here[name].after if other in here]
            best[name] = [*max(before, key=cost, default=[]), name]
        return best[name]

    return max((ways(name) for name in here), key=cost, default=[])
