"""A thousand mails of the corpora for a comparison: signed, altered, and brought by somebody.

Authors, bodies and odd fields are the corpora's own.  The zone answers for their domains:
every kind of SPF record and DMARC policy goes round, and keys of all kinds stand at every
author's domain and at one that is nobody's.  dkimpy signs, so that no verifier here judges
its own work.
"""

from __future__ import annotations

import base64
import csv
import itertools
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from live.opens import Courier

SOURCES = (("modern-ham/modern-ham", 700), ("spam/spamassassin", 300))
SIZE_MAX = 60_000
FOREIGN = "forwarder.example"
SPF = (
    "v=spf1 ip4:198.51.100.0/25 -all",
    "v=spf1 ip4:192.0.2.1 ~all",
    "v=spf1 include:spf.forwarder.example -all",
    "v=spf1 redirect=spf.forwarder.example",
    "v=spf1 ip4:192.0.2.1 ?all",
    "v=spf1 ipv4:broken -all",
    "no record of ours",
    "v=spf1 a:host.forwarder.example mx -all",
)
DMARC = (
    "v=DMARC1; p=reject",
    "v=DMARC1; p=none; sp=reject",
    "v=DMARC1; p=quarantine; adkim=s; aspf=s",
    "v=DMARC1;p=reject;sp=none;adkim=r",
    "",
    "v=DMARC1; p=sometimes",
)
FORMS = (
    (b"relaxed", b"relaxed"),
    (b"simple", b"simple"),
    (b"relaxed", b"simple"),
    (b"simple", b"relaxed"),
)
ALTERED = ("", "", "", "body", "subject", "blank", "author", "append")
_FROM = re.compile(rb"(?im)^From:[^\n]*?@([a-z0-9.-]+\.[a-z]+)>?")
_MBOX = re.compile(rb"\A(?:From [^\n]*\n)+")


@dataclass(frozen=True)
class Key:
    """A key, and the record that publishes it."""

    selector: str
    algorithm: bytes
    secret: bytes
    record: str


@dataclass(frozen=True)
class Brought:
    """One mail, what was done to it, and who brings it."""

    number: int
    raw: bytes
    domain: str
    signed: str
    altered: str
    by: Courier


def keys() -> list[Key]:
    """One of each kind that is in use."""
    made = [_rsa("r2", 2048), _rsa("r1", 1024)]
    secret = ed25519.Ed25519PrivateKey.generate()
    seed = secret.private_bytes_raw()
    public = _text(secret.public_key().public_bytes_raw())
    shown = f"v=DKIM1; k=ed25519; p={public}"
    return [*made, Key("e1", b"ed25519-sha256", base64.b64encode(seed), shown)]


def _rsa(selector: str, bits: int) -> Key:
    secret = rsa.generate_private_key(65537, bits)
    pem = secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = secret.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key(selector, b"rsa-sha256", pem, f"v=DKIM1; k=rsa; p={_text(public)}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def brought(data: Path, pairs: list[Key], every: int = 1) -> list[Brought]:
    """The mails, in a fixed order; `every` third, say, where time is short."""
    numbered = itertools.islice(enumerate(_corpus(data)), 0, None, every)
    return [_made(number, raw, pairs) for number, raw in numbered]


def _corpus(data: Path) -> Iterator[bytes]:
    for name, count in SOURCES:
        with (data / f"{name}.tsv").open() as table:
            rows = [r for r in csv.DictReader(table, delimiter="\t") if int(r["bytes"]) < SIZE_MAX]
        step = len(rows) / count
        wanted = {rows[int(at * step)]["file"] for at in range(count)}
        with tarfile.open(data / f"{name}.tar.xz") as archive:
            for member in archive:
                if member.name in wanted and (content := archive.extractfile(member)):
                    yield wire_form(content.read())


def wire_form(raw: bytes) -> bytes:
    """As an MTA would hand it over: CRLF, no mbox line, no NUL."""
    lines = re.sub(rb"\r\n|\r|\n", b"\n", _MBOX.sub(b"", raw)).replace(b"\0", b"")
    return lines.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def _made(number: int, raw: bytes, pairs: list[Key]) -> Brought:
    found = _FROM.search(raw.partition(b"\r\n\r\n")[0])
    domain = found[1].decode().lower() if found else "nobody.example"
    signed, raw = _signed(number, raw, domain, pairs)
    altered = ALTERED[number % len(ALTERED)]
    sender = domain if number % 3 else FOREIGN
    ip = f"198.51.100.{number % 250 + 1}"
    by = Courier(ip, "host.forwarder.example", f"m{number}@{sender}")
    return Brought(number, _altered(raw, altered), domain, signed, altered, by)


def _signed(number: int, raw: bytes, domain: str, pairs: list[Key]) -> tuple[str, bytes]:
    key, form = pairs[number % len(pairs)], FORMS[number // 3 % len(FORMS)]
    signer = FOREIGN if number % 5 == 1 else domain
    if number % 5 == 4:
        return "", raw
    try:
        field = dkim.sign(
            raw,
            key.selector.encode(),
            signer.encode(),
            key.secret,
            canonicalize=form,
            signature_algorithm=key.algorithm,
            length=number % 17 == 0,
        )
    except (dkim.DKIMException, ValueError):
        return "", raw  # a mail that dkimpy cannot read goes without
    return f"{key.selector} {form[0].decode()}/{form[1].decode()} {signer}", field + raw


def _altered(raw: bytes, how: str) -> bytes:
    head, _, body = raw.partition(b"\r\n\r\n")
    if how == "body":
        body = body.replace(b"e", b"a", 1) + b"x\r\n"
    elif how == "append":
        body += b"An advertisement\r\n"
    elif how == "blank":
        body = body.replace(b" ", b"  ", 1)
    elif how == "subject":
        head = re.sub(rb"(?im)^(Subject:[^\r]*)", rb"\1 (altered)", head, count=1)
    elif how == "author":
        head = re.sub(rb"(?im)^From:[^\r]*?@", b"From: Eve <eve@", head, count=1)
    return head + b"\r\n\r\n" + body


def zone(mails: list[Brought], pairs: list[Key]) -> dict[str, Any]:
    """What the DNS says, in the form of `explain --dns`."""
    made: dict[str, Any] = {
        "spf.forwarder.example": {"TXT": ["v=spf1 ip4:198.51.100.64/26 ?all"]},
        "host.forwarder.example": {"A": ["198.51.100.9"]},
    }
    for at, domain in enumerate(sorted({FOREIGN, *(each.domain for each in mails)})):
        made[domain] = {
            "TXT": [SPF[at % len(SPF)]],
            "MX": ["10 host.forwarder.example."],
            "A": ["192.0.2.1"],
        }
        for key in pairs:
            made[f"{key.selector}._domainkey.{domain}"] = {"TXT": [key.record]}
        if DMARC[at % len(DMARC)]:
            made[f"_dmarc.{domain}"] = {"TXT": [DMARC[at % len(DMARC)]]}
    return made
