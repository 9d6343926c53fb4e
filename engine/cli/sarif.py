"""Findings as SARIF 2.1.0, which code hosts and editors show beside the lines.

OASIS, Static Analysis Results Interchange Format, 27 March 2020.  Paths are relative to the
working directory where the file stands below it, as code hosts want them; they also want a
line with every result, so what is said of a whole file stands at its first, and what is of no
file at the settings.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from millrace.engine.errors import Place
from millrace.engine.policy.analysis.finding import CODES, Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def log(findings: Sequence[Finding], settings: str) -> dict[str, Any]:
    """One run with its results; `settings` is the file that it began with."""
    rules = list(CODES)
    driver = {
        "name": "millrace check",
        "version": importlib.metadata.version("millrace"),
        "rules": [_rule(code) for code in rules],
    }
    results = [_result(finding, rules.index(finding.code), settings) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    words = {"text": CODES[code][0].upper() + CODES[code][1:] + "."}
    return {
        "id": code,
        "shortDescription": words,
        "fullDescription": words,
        "help": {"text": f"{words['text']} See contrib/docs/checking.md."},
    }


def _result(finding: Finding, index: int, settings: str) -> dict[str, Any]:
    fault = finding.fault
    text = "\n".join(part for part in (fault.sentence, fault.hint) if part)
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": text},
        "locations": [{"physicalLocation": _location(fault.place, fault.width, settings)}],
    }


def _location(place: Place, width: int, settings: str) -> dict[str, Any]:
    region = {"startLine": max(place.line, 1)}
    if place.column:
        region |= {"startColumn": place.column, "endColumn": place.column + max(width, 1)}
    return {"artifactLocation": {"uri": _uri(place.file or settings)}, "region": region}


def _uri(file: str) -> str:
    path = Path(file).absolute()
    if path.is_relative_to(Path.cwd()):
        return quote(path.relative_to(Path.cwd()).as_posix())
    return path.as_uri()
