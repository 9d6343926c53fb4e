"""SPF against the published suite of RFC 7208, through our own DNS port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import FakeDns

from millrace.engine.mailauth.spf import Outcome, check
from millrace.engine.ports import Answer


def zone(data: dict[str, list[Any]]) -> FakeDns:
    table: dict[Any, Any] = {}
    for name, records in data.items():
        _add(table, name.lower().rstrip("."), records)
    return FakeDns(_Following(table))


def _add(table: dict[Any, Any], name: str, records: list[Any]) -> None:
    texts = any(isinstance(r, dict) and "TXT" in r for r in records)
    for record in records:
        if record == "TIMEOUT":
            for kind in ("A", "AAAA", "MX", "TXT", "PTR"):
                table.setdefault((name, kind), Answer("timeout"))
            continue
        ((kind, value),) = record.items()
        if kind == "SPF" and not texts:
            kind = "TXT"
        if kind == "SPF" or value == "NONE":
            continue
        if isinstance(table.get((name, kind)), Answer):
            continue
        table.setdefault((name, kind), []).append(_value(kind, value))


def _value(kind: str, value: Any) -> Any:
    if kind == "TXT":
        pieces = value if isinstance(value, list) else [value]
        return "".join(pieces).encode("utf-8")
    if kind == "MX":
        return (value[0], value[1])
    return value


class _Following(dict[Any, Any]):
    """A table that follows CNAMEs, as a resolver does."""

    def get(self, key: Any, default: Any = None) -> Any:
        name, kind = key
        for _ in range(10):
            if (name, kind) in self:
                return self[name, kind]
            if (name, "CNAME") not in self:
                return default
            name = self[name, "CNAME"][0].lower().rstrip(".")
        return default


def spf(case: dict[str, Any], dns: FakeDns) -> Outcome:
    sender = case["mailfrom"] or ""
    domain = sender.rpartition("@")[2]
    if sender and "@" not in sender:
        sender = f"postmaster@{sender}"
    return asyncio.run(check(str(case["host"]), sender, domain, case["helo"] or "", dns))


@pytest.mark.data
def test_the_suite_of_rfc_7208_passes_whole(shared_data: Path) -> None:
    wrong = []
    total = 0
    text = (shared_data / "spf" / "rfc7208-tests.yml").read_text()
    for scenario in filter(None, yaml.safe_load_all(text)):
        for name, case in scenario["tests"].items():
            total += 1
            outcome = spf(case, zone(scenario["zonedata"]))
            wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
            if outcome.result not in wanted:
                wrong.append(f"{name}: wants {wanted}, got {outcome}")
    assert total == 203
    assert not wrong, "\n".join(wrong)
