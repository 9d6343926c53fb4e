"""ARC chains against the published validation suite."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.arc import ChainJudged, judge, read_chain
from millrace.engine.mailauth.bodyhash import hash_body

DEPARTURES = Path(__file__).with_name("departures.toml")


def verify(raw: bytes, dns: FakeDns) -> ChainJudged:
    message = Message.parse(raw)
    chain = read_chain(message.headers)
    bodies = hash_body(message.body.chunks(), [chain.wish] if chain.wish else [])
    return asyncio.run(judge(chain, message.headers, bodies, dns))


def keys(records: dict[str, str]) -> FakeDns:
    return FakeDns({(name, "TXT"): [text.encode()] for name, text in (records or {}).items()})


def wanted(case: dict[str, Any]) -> str:
    # a chain that says cv=fail itself has no word in the suite; RFC 8617 §5.2 says fail
    return {"": "fail", "pass": "pass", "fail": "fail", "none": "none"}[(case["cv"] or "").lower()]


@pytest.mark.data
def test_the_published_validation_suite_passes_whole(shared_data: Path, suites: Suites) -> None:
    wrong, total = {}, 0
    text = (shared_data / "arc" / "arc-draft-validation-tests.yml").read_text()
    for scenario in filter(None, yaml.safe_load_all(text)):
        dns = keys(scenario["txt-records"])
        for name, case in scenario["tests"].items():
            total += 1
            raw = re.sub(rb"(?<!\r)\n", b"\r\n", case["message"].encode())
            found = verify(raw, dns)
            if found.result != wanted(case):
                wrong[f"{scenario['description'].strip()}, {name}"] = f"{wanted(case)}, {found}"
    assert total == 171
    suites.hold("ARC validation", total, wrong, departures(DEPARTURES, "ARC validation"))
