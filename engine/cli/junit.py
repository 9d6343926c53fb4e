"""Outcomes of tests as JUnit's XML, which build servers read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from millrace.engine.cli.xmltext import writable
from millrace.engine.plans import Trial
from millrace.engine.policy.trial import Outcome


def write(path: Path, tried: Sequence[tuple[str, Trial]]) -> None:
    """Write one suite for each pipeline and its policy's tests."""
    root = ElementTree.Element("testsuites", name="millrace test")
    for pipeline, trial in tried:
        suite = ElementTree.SubElement(root, "testsuite")
        suite.set("name", f"{pipeline}: {trial.file}")
        suite.set("tests", str(len(trial.outcomes)))
        suite.set("failures", str(len(trial.failed)))
        suite.set("errors", "0")
        for outcome in trial.outcomes:
            _case(suite, pipeline, outcome)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, "unicode", xml_declaration=False)
    path.write_text('<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n", "utf-8")


def _case(suite: ElementTree.Element, pipeline: str, outcome: Outcome) -> None:
    place = outcome.case.place
    case = ElementTree.SubElement(suite, "testcase")
    case.set("name", writable(outcome.case.name))
    case.set("classname", pipeline)
    case.set("file", place.file)
    case.set("line", str(place.line))
    if outcome.problem:
        failure = ElementTree.SubElement(case, "failure", message=writable(outcome.problem))
        failure.text = writable("\n".join([outcome.problem, *outcome.difference]))
