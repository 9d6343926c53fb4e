"""Findings as SARIF 2.1.0, which code hosts and editors show beside the lines.

OASIS, Static Analysis Results Interchange Format, 27 March 2020.  Paths are relative to the
working directory where the file stands below it, as code hosts want them.
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


def log(findings: Sequence[Finding]) -> dict[str, Any]:
    """One run with its results."""
    rules = list(CODES)
    driver = {
        "name": "millrace check",
        "version": importlib.metadata.version("millrace"),
        "rules": [{"id": code, "shortDescription": {"text": CODES[code]}} for code in rules],
    }
    results = [_result(finding, rules.index(finding.code)) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    fault = finding.fault
    text = "\n".join(part for part in (fault.sentence, fault.hint) if part)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": text},
    }
    if fault.place.file:
        result["locations"] = [{"physicalLocation": _location(fault.place, fault.width)}]
    return result


def _location(place: Place, width: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file)}}
    if place.line:
        region = {"startLine": place.line}
        if place.column:
            region |= {"startColumn": place.column, "endColumn": place.column + width}
        location["region"] = region
    return location


def _uri(file: str) -> str:
    path = Path(file).absolute()
    if path.is_relative_to(Path.cwd()):
        return quote(path.relative_to(Path.cwd()).as_posix())
    return path.as_uri()
