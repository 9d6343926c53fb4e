"""A signed mail of 50 MB: hashed as it streams, kept out of memory, judged at its end."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.keys import ed25519_key, rsa_key, signature
from live.parties import Millrace, settle
from live.sites import SETTINGS, engine
from live.talkers import MilterTalk

from millrace.engine.wire.milter import Answer

FILTERS = "".join(f'[[filter]]\nuse = "{name}"\n' for name in ("spf", "dkim", "arc", "dmarc"))
LIMITS = '[limits]\nmessage = "64MiB"\n'
HEAD = (
    b"From: a@good.example\r\nTo: b@rcpt.example\r\nSubject: large\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@good.example>\r\n"
)
BODY = (b"x" * 76 + b"\r\n") * (50 * 1024 * 1024 // 78)
KEYS = (rsa_key(random.Random(1)), ed25519_key(random.Random(1)))


@pytest.fixture
def millrace(root: None, new_folder: Callable[[str], Path]) -> Iterator[Millrace]:
    daemon = engine(new_folder("large"), FILTERS, settings=SETTINGS + LIMITS)
    zone = {f"{k.selector}._domainkey.good.example": {"TXT": [k.record]} for k in KEYS}
    (daemon.folder / "zone.json").write_text(json.dumps(zone))
    daemon.start()
    yield daemon
    daemon.stop()


def most_memory(daemon: Millrace) -> int:
    """Octets that the process held at most."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


def signatures(daemon: Millrace, number: int) -> list[dict[str, Any]]:
    """What was found of the n-th mail, when its record is written."""
    settle(lambda: len(daemon.decisions()) >= number, "the record")
    found: list[dict[str, Any]] = daemon.decisions()[number - 1]["facts"]["dkim"]["signatures"]
    return found


def test_two_signatures_over_fifty_megabytes_hold_and_memory_stays_flat(
    millrace: Millrace,
) -> None:
    fields = b"".join(signature(HEAD, BODY, "good.example", key) for key in KEYS)
    talk = MilterTalk(millrace.port("milter"))
    before = most_memory(millrace)
    assert talk.mail(fields + HEAD + b"\r\n" + BODY) in (Answer.ACCEPT, Answer.CONTINUE)
    assert most_memory(millrace) - before < 20 << 20
    assert [s["result"] for s in signatures(millrace, 1)] == ["pass", "pass"]
    altered = BODY[:-3] + b"y\r\n"
    talk.mail(fields + HEAD + b"\r\n" + altered)
    assert {s["reason"] for s in signatures(millrace, 2)} == {"body has been altered"}
    talk.close()
