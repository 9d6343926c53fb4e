"""OpenDKIM, OpenDMARC and dkimverify beside us: the same mails, the same answers.

A thousand corpus mails, signed by dkimpy with every kind of key and canonicalization, half of
them altered.  Each difference must be one of those named in `DEPARTURES`, with its reason;
a departure that no mail shows any more fails, too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from live import opened_mails as mails
from live.opens import SIGNER, Courier, Island, added
from live.parties import CLEAN, MILLRACE
from suites import Suites

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.mailauth.dkim import judge, read_signatures
from millrace.engine.net.dns import BudgetedDns, CachedDns
from millrace.engine.net.zone import ZoneDns

DEPARTURES = {
    "key not found": "OpenDKIM writes fail; RFC 8601 §2.7.1 and RFC 6376 §6.1.2 say permerror",
    "rsa-sha1": "we look at x= first and say fail; OpenDKIM says permerror; no one says pass",
    "fourth signature": "OpenDKIM verifies three and calls the rest neutral; we take eight",
    "own SPF": "OpenDMARC's SPF knows only pass and fail: neutral and others become fail",
    "p= unknown": "RFC 9989 §4.7: no record without a valid p= or rua=; OpenDMARC: permerror",
}


def told(suites: Suites, suite: str, seen: Counter[str], wanted: set[str]) -> None:
    """Put the comparison into the table; a departure that nothing shows any more fails."""
    found = {word: f"{seen[word]}: {reason}" for word, reason in DEPARTURES.items() if seen[word]}
    agreed = seen.total() - sum(seen[word] for word in DEPARTURES)
    suites.tally(suite, seen.total(), agreed, found)
    assert set(found) == wanted


_DKIM = re.compile(
    r"dkim=(?P<result>\w+)(?: reason=\"(?P<reason>[^\"]*)\")?(?: \([^)]*\))?"
    r"(?: header\.d=(?P<domain>\S+) header\.i=\S+ header\.a=(?P<algorithm>\S+))?"
)


@dataclass(frozen=True)
class Compared:
    """One mail, OpenDKIM's and OpenDMARC's fields in one text, and our facts."""

    mail: mails.Brought
    theirs: str
    ours: dict[str, Any]

    @property
    def signatures(self) -> list[dict[str, str]]:
        found = [match.groupdict("") for match in _DKIM.finditer(self.theirs)]
        return [each for each in found if each["result"] != "none"]

    def said(self, method: str) -> str:
        match = re.search(rf"\b{method}=(\w+)", self.theirs)
        return match[1] if match else ""


@pytest.fixture(scope="module")
def compared(root: None, new_folder: Callable[[str], Path], shared_data: Path) -> list[Compared]:
    folder, pairs = new_folder("opened"), mails.keys()
    brought = mails.brought(shared_data, pairs)
    zone = mails.zone(brought, pairs)
    island = Island(folder, zone).start()
    try:
        verifier = island.opendkim("verify")
        suffixes = shared_data / "dmarc/psl/public_suffix_list.dat"
        aligner = island.opendmarc("align", suffixes=suffixes)
        theirs = [heard(verifier, aligner, each) for each in brought]
    finally:
        island.stop()
    facts = explained(folder, brought, zone)
    return [Compared(*row) for row in zip(brought, theirs, facts, strict=True)]


def heard(verifier: Path, aligner: Path, each: mails.Brought) -> str:
    """What both filters write into the mail, the second seeing the first's."""
    first = added(verifier, each.raw, each.by)
    head = "".join(f"{name}: {value}\r\n" for name, value in first).encode()
    second = added(aligner, head + each.raw, each.by)
    return re.sub(r"\s+", " ", "; ".join(value for _, value in first + second))


def explained(
    folder: Path, brought: list[mails.Brought], zone: dict[str, Any]
) -> list[dict[str, Any]]:
    """Our facts, by `millrace explain --batch`."""
    (folder / "zone.json").write_text(json.dumps(zone))
    with (folder / "cases.jsonl").open("w") as cases:
        for each in brought:
            cases.write(json.dumps(case(each)) + "\n")
    command = ["explain", "--batch", "cases.jsonl", "--dns", "zone.json", "--json"]
    done = subprocess.run(
        [*MILLRACE, *command], cwd=folder, env=CLEAN, capture_output=True, check=True
    )
    return [json.loads(line)["facts"] for line in done.stdout.splitlines()]


def case(each: mails.Brought) -> dict[str, Any]:
    return {
        "id": str(each.number),
        "raw": base64.b64encode(each.raw).decode(),
        "ip": each.by.ip,
        "helo": each.by.helo,
        "from": each.by.sender,
        "to": ["ann@rcpt.example"],
    }


def dkim_departure(at: int, theirs: dict[str, str], ours: dict[str, Any]) -> str:
    if theirs["reason"] == "key not found in DNS" and ours["reason"] == "no key":
        return "key not found"
    if at >= 3 and theirs["result"] == "neutral" and ours["result"] == "permerror":
        return "fourth signature"
    if theirs["algorithm"] == "rsa-sha1" and "pass" not in (theirs["result"], ours["result"]):
        return "rsa-sha1"
    return "?"


@pytest.mark.data
def test_a_thousand_mails_are_judged_as_opendkim_judges_them(
    compared: list[Compared], suites: Suites
) -> None:
    seen: Counter[str] = Counter()
    unexplained = []
    for each in compared:
        ours = each.ours["dkim"]["signatures"]
        assert len(each.signatures) == len(ours), each.mail.number
        for at, (theirs, mine) in enumerate(zip(each.signatures, ours, strict=True)):
            if theirs["result"] == mine["result"]:
                seen[mine["result"]] += 1
                continue
            word = dkim_departure(at, theirs, mine)
            seen[word] += 1
            if word == "?":
                unexplained.append((each.mail.number, theirs, mine))
    assert unexplained == []
    assert seen["pass"] > 250
    assert seen["fail"] > 250
    told(suites, "OpenDKIM beside us", seen, {"key not found", "rsa-sha1", "fourth signature"})


@pytest.mark.data
def test_spf_passes_exactly_where_opendmarc_says_so(
    compared: list[Compared], suites: Suites
) -> None:
    rows = [(each.said("spf"), each.ours["spf"]["result"], each.mail.number) for each in compared]
    assert [row for row in rows if (row[0] == "pass") != (row[1] == "pass")] == []
    seen = Counter(ours if theirs == ours else "own SPF" for theirs, ours, _ in rows)
    told(suites, "OpenDMARC's SPF beside us", seen, {"own SPF"})
    assert min(seen["pass"], seen["fail"], seen["own SPF"]) > 100, seen


@pytest.mark.data
def test_dmarc_is_judged_as_opendmarc_judges_it(compared: list[Compared], suites: Suites) -> None:
    unexplained = []
    seen: Counter[str] = Counter()
    for each in compared:
        theirs, ours = each.said("dmarc"), each.ours["dmarc"]["result"]
        if theirs == ours:
            seen[ours] += 1
        elif theirs == "permerror":  # only for the record that says p=sometimes
            seen["p= unknown"] += 1
        else:
            unexplained.append((each.mail.number, theirs, each.ours["dmarc"]))
    assert unexplained == []
    told(suites, "OpenDMARC beside us", seen, {"p= unknown"})
    assert min(seen["pass"], seen["fail"], seen["none"], seen["p= unknown"]) > 50, seen


@pytest.mark.data
def test_no_mail_passes_dmarc_by_what_opendkim_refuses(compared: list[Compared]) -> None:
    for each in compared:
        passed = {s["domain"] for s in each.ours["dkim"]["signatures"] if s["result"] == "pass"}
        theirs = {s["domain"].lower() for s in each.signatures if s["result"] == "pass"}
        assert passed == theirs, each.mail.number


# --- signing, both ways

MAIL = (
    b"From: Ann <ann@a.example>\r\nTo: Bob <bob@rcpt.example>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n  and a  folded\tline\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n"
    b"X-Bytes: caf\xe9\r\n\r\n Hello  Bob,  \r\n\r\nbytes \xff\x80\t\r\n.dots\r\n\r\n\r\n"
)


def published(folder: Path, selector: str) -> tuple[str, dict[str, Any]]:
    """Keys by `millrace dkim keygen`, and the zone that its records make."""
    (folder / "millrace.toml").write_text('[keys]\npath = "keys"\n')
    made = millrace(folder, "dkim", "keygen", "a.example", "--selector", selector)
    lines = millrace(folder, "dkim", "publish", "a.example", "--one-line").splitlines()
    pairs = [line.split(None, 1) for line in lines if "_domainkey" in line]
    assert len(pairs) == 2, made
    return made, {name.rstrip("."): {"TXT": [text.strip()]} for name, text in pairs}


def millrace(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*MILLRACE, *arguments], cwd=folder, env=CLEAN, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.fixture(scope="module")
def signed(root: None, new_folder: Callable[[str], Path]) -> Iterator[tuple[Island, bytes]]:
    """A mail with our two signatures, and an island whose DNS publishes the keys."""
    folder = new_folder("signed")
    _, zone = published(folder, "s")
    (folder / "pipelines").mkdir()
    (folder / "pipelines/out.toml").write_text('[[filter]]\nuse = "sign"\n')
    (folder / "mail.eml").write_bytes(MAIL)
    given = ["--ip", "192.0.2.7", "--from", "ann@a.example", "--to", "bob@rcpt.example"]
    text = millrace(folder, "explain", "mail.eml", *given, "--pipeline", "out", "--json")
    edits = [edit for edit in json.loads(text)["edits"] if edit["name"] == "DKIM-Signature"]
    fields = "".join(f"DKIM-Signature: {edit['value']}\n" for edit in edits)
    island = Island(folder, zone).start()
    try:
        yield island, fields.replace("\n", "\r\n").encode() + MAIL
    finally:
        island.stop()


def test_both_of_our_signatures_are_verified_by_opendkim(signed: tuple[Island, bytes]) -> None:
    island, raw = signed
    assert sorted(re.findall(rb"; a=(\S+);", raw)) == [b"ed25519-sha256", b"rsa-sha256"]
    assert own_verdicts(island, raw) == ["pass", "pass"]
    assert own_verdicts(island, raw + b"more\r\n") == ["fail", "fail"]


@pytest.mark.parametrize("index", [0, 1])
def test_our_signatures_are_verified_by_dkimverify(
    signed: tuple[Island, bytes], index: int
) -> None:
    island, raw = signed
    program = str(Path(sys.executable).with_name("dkimverify"))
    command = island.inside(program, "--index", str(index))
    good = subprocess.run(command, input=raw, env=CLEAN, capture_output=True)
    assert b"signature ok" in good.stdout, good
    bad = subprocess.run(command, input=raw + b"more\r\n", env=CLEAN, capture_output=True)
    assert b"signature ok" not in bad.stdout


FORMS = ("relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("selector", ["sr", "se"])
def test_a_mail_that_opendkim_signed_is_verified_by_us(
    signed: tuple[Island, bytes], selector: str, form: str
) -> None:
    island, _ = signed
    (island.folder / "hosts").write_text("127.0.0.1\n")
    algorithm = {"sr": "rsa-sha256", "se": "ed25519-sha256"}[selector]
    socket = island.opendkim(
        f"sign-{selector}-{form.replace('/', '-')}",
        SIGNER,
        domain="a.example",
        selector=selector,
        key=island.folder / f"keys/a.example/{selector}.pem",
        algorithm=algorithm,
        form=form,
        hosts=island.folder / "hosts",
    )
    fields = [f"{name}: {value}" for name, value in added(socket, MAIL, Courier())]
    (field,) = [field for field in fields if field.startswith("DKIM-Signature")]
    raw = re.sub(r"\r?\n", "\r\n", field).encode() + b"\r\n" + MAIL
    # over a simple header its Ed25519 signatures do not hold, in its own verifier's eyes either
    wanted = "fail" if selector == "se" and form.startswith("simple") else "pass"
    assert own_verdicts(island, raw) == [wanted]
    assert verified(island.zone, raw) == [(wanted, algorithm)]
    assert verified(island.zone, raw + b"more\r\n") == [("fail", algorithm)]


def own_verdicts(island: Island, raw: bytes) -> list[str]:
    """What OpenDKIM says of a mail that comes from elsewhere."""
    path = island.folder / "verify.sock"
    socket = path if path.exists() else island.opendkim("verify")
    (_, value), *_ = added(socket, raw, Courier("192.0.2.1"))
    return re.findall(r"dkim=(\w+)", value)


def verified(zone: Any, raw: bytes) -> list[tuple[str, str]]:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, 1_800_000_000.0)
    bodies = hash_body(message.body.chunks(), {u.wish for u in unjudged if u.wish})
    dns = BudgetedDns(CachedDns(ZoneDns.of(zone), lambda: 0.0))
    found = asyncio.run(judge(unjudged, message.headers, bodies, dns))
    return [(each.result, each.algorithm) for each in found]
