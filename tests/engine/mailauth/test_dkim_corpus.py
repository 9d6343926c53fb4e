"""A thousand corpus mails, signed and altered: our verifier and dkimpy's own agree.

Every seventh of them where CI is not "true": dkimpy takes its time to sign.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import dkim
import pytest
from fakes import FakeDns
from live import opened_mails as mails
from suites import Suites

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hashed
from millrace.engine.mailauth.dkim import Signature, judge, read_signatures

NOW = 4_000_000_000.0  # after any t=; corpus signatures with x= have no key anyway


def ours(raw: bytes, dns: FakeDns) -> tuple[Signature, ...]:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, NOW)
    bodies = hashed(message.body, [each.wish for each in unjudged if each.wish])
    return asyncio.run(judge(unjudged, message.headers, bodies, dns))


def theirs(raw: bytes, number: int, texts: dict[str, bytes]) -> bool:
    """dkimpy's whole way: its own reading, canonicalization, hashing and key."""

    def txt(name: bytes, timeout: float = 5) -> bytes:
        return texts.get(name.decode("ascii", "replace").rstrip(".").lower(), b"")

    try:
        return bool(dkim.DKIM(raw, minkey=1024).verify(number, dnsfunc=txt))
    except (dkim.DKIMException, ValueError, IndexError):
        return False


@pytest.mark.data
def test_altered_corpus_mails_are_judged_as_dkimpy_judges_them(
    shared_data: Path, suites: Suites
) -> None:
    pairs = mails.keys()
    brought = mails.brought(shared_data, pairs, 1 if os.environ.get("CI") == "true" else 7)
    zone: dict[str, Any] = mails.zone(brought, pairs)
    texts = {name: rr["TXT"][0].encode() for name, rr in zone.items() if "_domainkey" in name}
    dns = FakeDns({(name, "TXT"): [text] for name, text in texts.items()})
    wrong, seen = {}, Counter[str]()
    for each in brought:
        for number, signature in enumerate(ours(each.raw, dns)):
            seen[signature.result] += 1
            if (signature.result == "pass") != theirs(each.raw, number, texts):
                wrong[f"mail {each.number}, signature {number}"] = str(signature)
    assert min(seen["pass"], seen["fail"]) > len(brought) / 4, seen
    suites.hold("DKIM, corpus mails beside dkimpy", seen.total(), wrong, {})
