"""The bench's mails: some hundreds from one seed, signed, with the zone that speaks for them.

Each comes from its domain's own address, with a signature that holds and a DMARC policy
of "reject": the case in which a filter has most to do, and refuses nothing.
"""

from __future__ import annotations

import base64
import math
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from millrace.engine.load.mails import Mail

from .keys import Key, ed25519_key, rsa_key, signature

SEED = 1
DOMAINS = 20
LEAST, MOST = 2_000, 60_000  # octets of a body, about
ED25519_SHARE = 0.15
_WORDS = """the of and to in for is on that with you are this it be as have from we will not can
at by our your if all has please any or would which meeting report project team week order
customer invoice schedule office question thanks review release version change file document
attached update data system server issue test result plan budget contract draft comments agenda
minutes address number date monday tuesday friday morning regards best hello dear list members
archive patch build kernel driver memory function value error message thread reply install
package library language code source branch commit working problem solution example people
time year first last next other new good know think want need make take see look use find
give tell work call try ask feel leave keep let begin show hear play run move live believe
bring happen write provide sit stand lose pay meet include continue set learn lead understand
watch follow stop create speak read allow add spend grow open walk win offer remember consider
train station bridge river garden window kitchen dinner bread coffee water letter paper book
school teacher student lesson music concert ticket museum holiday weather winter summer""".split()  # noqa: SIM905 - a page of words reads better so
_NAMES = """anna ben clara david emma felix greta hugo ines jonas karla leo mara nils olga paul
rosa simon tina ulrich vera willem""".split()  # noqa: SIM905
Zone = dict[str, dict[str, Any]]


_SPAM = """casino viagra lottery winner million dollars click unsubscribe cheap pills replica
watches bonus jackpot guaranteed income singles loan approved crypto doubled urgent wire transfer
beneficiary inheritance discount pharmacy prize claim""".split()  # noqa: SIM905
TRAINED = 80  # mails of each kind, for classifiers that bring no model


@dataclass(frozen=True)
class Corpus:
    """Mails and the DNS that they were made with, in the form of `--dns`."""

    mails: tuple[Mail, ...]
    zone: Zone

    @property
    def octets(self) -> int:
        """The middle mail's size."""
        sizes = sorted(len(mail.raw) for mail in self.mails)
        return sizes[len(sizes) // 2]

    def training(self, kind: str) -> Iterator[bytes]:
        """Mails to learn from: "ham", of the same words as the corpus, or "spam"."""
        if kind == "ham":
            yield from (mail.raw for mail in make(TRAINED, SEED + 1).mails)
            return
        chance = random.Random(SEED)
        for number in range(TRAINED):
            body = "\r\n".join(" ".join(chance.choices(_SPAM, k=9)) for _ in range(40))
            yield (
                f"From: Prize <win{number}@lottery.invalid>\r\nTo: <user@rcpt.example>\r\n"
                f"Subject: {' '.join(chance.choices(_SPAM, k=4))}\r\n"
                f"Date: Mon, 16 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@lottery.invalid>"
                f"\r\n\r\n{body}\r\n"
            ).encode()


@dataclass(frozen=True)
class Domain:
    """One sender's domain."""

    number: int
    keys: tuple[Key, Key]

    @property
    def name(self) -> str:
        return f"{_NAMES[self.number % len(_NAMES)]}{self.number:02d}.example"

    @property
    def ip(self) -> str:
        return f"198.51.100.{self.number + 1}"

    def zone(self) -> Zone:
        """Its records; every fifth domain's SPF includes eight others."""
        name, host = self.name, f"mail.{self.name}"
        spf = (
            f"v=spf1 ip4:{self.ip} -all",
            "v=spf1 a mx -all",
            f"v=spf1 include:_spf.{name} ~all",
            f"v=spf1 redirect=_spf.{name}",
            "v=spf1 " + " ".join(f"include:_s{at}.{name}" for at in range(8)) + " -all",
        )[self.number % 5]
        records: Zone = {
            name: {"TXT": [spf], "MX": [f"10 {host}"], "A": ["192.0.2.9"]},
            host: {"A": [self.ip]},
            f"_spf.{name}": {"TXT": [f"v=spf1 ip4:192.0.2.64/28 ip4:{self.ip} -all"]},
            f"_dmarc.{name}": {"TXT": [f"v=DMARC1; p=reject; rua=mailto:dmarc@{name}"]},
        }
        for key in self.keys:
            records[f"{key.selector}._domainkey.{name}"] = {"TXT": [key.record]}
        for at in range(8):
            ours = f" ip4:{self.ip}" if at == 7 else ""
            nets = " ".join(f"ip4:192.0.{at}.{net * 16}/28" for net in range(14))
            records[f"_s{at}.{name}"] = {"TXT": [f"v=spf1 {nets}{ours} -all"]}
        return records


def make(count: int = 300, seed: int = SEED) -> Corpus:
    """The same corpus for the same seed, on every machine."""
    chance = random.Random(seed)
    rsa_keys = [rsa_key(chance) for _ in range(2)]
    short = ed25519_key(chance)
    domains = [Domain(n, (rsa_keys[n % 2], short)) for n in range(DOMAINS)]
    zone: Zone = {}
    for domain in domains:
        zone |= domain.zone()
    return Corpus(tuple(_mail(chance, domains, n) for n in range(count)), zone)


def _mail(chance: random.Random, domains: list[Domain], number: int) -> Mail:
    domain = chance.choice(domains)
    to = tuple(f"user{chance.randrange(100):02d}@rcpt.example" for _ in range(_count(chance)))
    head, body = _written(chance, domain, number, to[0])
    raw_head, raw_body = head.encode(), body.encode()
    key = domain.keys[chance.random() < ED25519_SHARE]
    signed = signature(raw_head, raw_body, domain.name, key) + raw_head
    raw = _received(chance, domain).encode() + signed + b"\r\n" + raw_body
    return Mail(raw, domain.ip, f"mail.{domain.name}", f"bounce-{number}@{domain.name}", to)


def _count(chance: random.Random) -> int:
    return chance.choice((1, 1, 1, 1, 1, 2, 3))


def _received(chance: random.Random, domain: Domain) -> str:
    return (
        f"Received: from client{chance.randrange(9)}.{domain.name} ([192.0.2.77])\r\n"
        f"\tby mail.{domain.name} (Postfix) with ESMTPSA id {chance.randbytes(5).hex()};\r\n"
        "\tMon, 16 Nov 2026 10:00:00 +0000\r\n"
    )


def _written(chance: random.Random, domain: Domain, number: int, to: str) -> tuple[str, str]:
    """Header section and body."""
    who, size = chance.choice(_NAMES), _size(chance)
    head = (
        f"From: {who.title()} <{who}@{domain.name}>\r\nTo: <{to}>\r\n"
        f"Subject: {' '.join(_words(chance, 5)).capitalize()}\r\n"
        "Date: Mon, 16 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{number}.{chance.randbytes(6).hex()}@{domain.name}>\r\n"
        f"In-Reply-To: <{chance.randbytes(6).hex()}@rcpt.example>\r\n"
        f"References: <{chance.randbytes(6).hex()}@rcpt.example>\r\n"
        f"\t<{chance.randbytes(6).hex()}@rcpt.example>\r\n"
        "User-Agent: Mutt/2.2\r\nMIME-Version: 1.0\r\n"
    )
    kind = chance.choice(("plain", "plain", "html", "html", "list"))
    if kind == "html":
        return _alternative(chance, head, size)
    text = prose(chance, size)
    if kind == "list":
        head += f"List-Id: Talk <talk.{domain.name}>\r\nPrecedence: list\r\n"
        text += "-- \r\n" + f"Talk mailing list\r\nhttps://www.{domain.name}/talk\r\n"
    fields, body = _part(chance, "text/plain", text)
    return head + fields, body


def _size(chance: random.Random) -> int:
    return int(min(max(chance.lognormvariate(math.log(8500), 0.9), LEAST), MOST))


def _alternative(chance: random.Random, head: str, size: int) -> tuple[str, str]:
    mark = f"=_{chance.randbytes(8).hex()}"
    parts = (
        _part(chance, "text/plain", prose(chance, size // 3)),
        _part(chance, "text/html", _html(chance, size * 2 // 3)),
    )
    body = "".join(f"--{mark}\r\n{fields}\r\n{text}\r\n" for fields, text in parts)
    return head + f'Content-Type: multipart/alternative; boundary="{mark}"\r\n', (
        f"{body}--{mark}--\r\n"
    )


def _part(chance: random.Random, kind: str, text: str) -> tuple[str, str]:
    encoding = chance.choice(("7bit", "quoted-printable", "base64"))
    if encoding == "quoted-printable":
        lines = quopri.encodestring(text.replace("\r\n", "\n").encode()).decode()
        text = lines.replace("\n", "\r\n")
    elif encoding == "base64":
        text = base64.encodebytes(text.encode()).decode().replace("\n", "\r\n")
    fields = f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return fields, text


def _words(chance: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        # common words often, and a long tail of rare ones, as real text has
        at = int(chance.expovariate(0.015))
        yield _WORDS[at] if at < len(_WORDS) else f"{chance.choice(_WORDS)}{chance.choice(_NAMES)}"


def prose(chance: random.Random, size: int) -> str:
    lines: list[str] = []
    left = size
    while left > 0:
        line = " ".join(_words(chance, 11)).capitalize() + chance.choice(".,?.")
        lines.append(line)
        left -= len(line) + 2
    return "\r\n".join(lines) + "\r\n"


def _html(chance: random.Random, size: int) -> str:
    rows = [
        f'<p style="margin:0;color:#{chance.randrange(0x444444):06x}">{line}</p>'
        for line in prose(chance, size * 2 // 3).split("\r\n")
    ]
    link = '<a href="https://www.example.org/page">read on</a>'
    return f"<html><head><title>News</title></head><body>\r\n{link}\r\n" + (
        "\r\n".join(rows) + "\r\n</body></html>\r\n"
    )
