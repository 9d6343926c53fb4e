"""DKIM verification against published messages and keys."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import dkim
import pytest
from fakes import FakeDns

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.mailauth.dkim import Signature, judge, read_signatures, whole
from millrace.engine.ports import Answer

NOW = 1_800_000_000.0


def verify(raw: bytes, dns: FakeDns, now: float = NOW) -> tuple[Signature, ...]:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, now)
    bodies = hash_body(message.body.chunks(), {u.wish for u in unjudged if u.wish})
    return asyncio.run(judge(unjudged, message.headers, bodies, dns))


def keys(data: dict[str, Any]) -> FakeDns:
    table: dict[Any, Any] = {}
    for name, record in data.items():
        question = (name.lower().rstrip("."), "TXT")
        if "txt" in record:
            texts = record["txt"] if isinstance(record["txt"], list) else [record["txt"]]
            table[question] = [text.encode("utf-8", "surrogateescape") for text in texts]
        else:
            table[question] = Answer(record["rcode"])
    return FakeDns(table)


def as_sent(entry: dict[str, Any], folder: Path) -> bytes:
    raw = (folder / entry["file"]).read_bytes()
    if entry["eol"] == "lf":
        raw = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    return raw


@pytest.mark.data
def test_published_signed_messages_are_judged_as_a_verifier_of_today_must(
    shared_data: Path,
) -> None:
    folder = shared_data / "dkim"
    entries = json.loads((folder / "index.json").read_text())
    wrong = []
    for entry in entries:
        signatures = verify(as_sent(entry, folder), keys(entry["dns"]))
        said, wanted = whole(signatures), entry["modern"]
        fits = wanted is None or said == wanted or (wanted == "not pass" and said != "pass")
        if not fits:
            wrong.append(f"{entry['file']}: wants {wanted}, got {said} {signatures}")
    assert len(entries) == 164
    assert not wrong, "\n".join(wrong)


def reference(raw: bytes, number: int, dns: FakeDns) -> bool:
    """dkimpy's own verdict over one signature, from the raw mail on."""

    def texts(name: bytes, timeout: float = 5) -> bytes:
        found = dns.table.get((name.decode().rstrip("."), "TXT"))
        return b"" if found is None or isinstance(found, Answer) else b"".join(found)

    try:
        return bool(dkim.DKIM(raw, minkey=1024).verify(number, dnsfunc=texts))
    except (dkim.DKIMException, ValueError, IndexError):
        return False


@pytest.mark.data
def test_every_published_signature_is_judged_as_dkimpy_judges_it(shared_data: Path) -> None:
    folder = shared_data / "dkim"
    different, judged = [], 0
    for entry in json.loads((folder / "index.json").read_text()):
        raw, dns = as_sent(entry, folder), keys(entry["dns"])
        for number, signature in enumerate(verify(raw, dns)):
            # what an RFC newer than dkimpy's arithmetic forbids is told apart below
            if signature.result in ("policy", "temperror") or "t=s" in signature.reason:
                continue
            judged += 1
            if (signature.result == "pass") != reference(raw, number, dns):
                different.append(f"{entry['file']}: {signature}")
    assert judged > 120
    assert different == []


@pytest.mark.data
def test_a_second_author_above_a_signed_one_breaks_the_signature(shared_data: Path) -> None:
    folder = shared_data / "dkim"
    entries = json.loads((folder / "index.json").read_text())
    entry = next(e for e in entries if "-rsa-rr-asis" in e["file"] and e["modern"] == "pass")
    raw, dns = as_sent(entry, folder), keys(entry["dns"])
    assert whole(verify(raw, dns)) == "pass"
    assert whole(verify(b"From: Eve <eve@evil.example>\r\n" + raw, dns)) == "fail"
