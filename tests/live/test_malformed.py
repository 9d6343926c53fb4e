"""Nothing that a peer says stops the engine: 2,000 malformed mails, and worse conversations.

One daemon with both doors takes all of it; the same seed gives the same mails.
"""

from __future__ import annotations

import http.client
import random
import smtplib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
from live.parties import Millrace, settle
from live.sites import ARCHIVE, engine, mail
from live.talkers import MilterTalk, shout, smtp_mail

from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.milter import Answer

SEED = 20
MAILS = 2000
GROWTH_MAX_KIB = 48 << 10  # caches, the allocator's slack, and the largest mails themselves
SETTINGS = """
profile = "production"
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
[limits]
message = "8MB"
"""
PIPELINE = """
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
[[filter]]
use = "spam"
[[filter]]
use = "stamp"
authserv_id = "mx.rcpt.example"
spam_headers = true
"""
CLEAN_MAIL = mail("clean", author="a@new.example")


@dataclass
class Victim:
    """The daemon, and the slow peers that stay with it all the time."""

    millrace: Millrace
    slow: list[socket.socket] = field(default_factory=list)

    def kib(self) -> int:
        """Resident memory."""
        assert self.millrace.process is not None
        status = Path(f"/proc/{self.millrace.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def healthz(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.millrace.port("http"), timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        finally:
            connection.close()

    def close(self) -> None:
        for peer in self.slow:
            peer.close()
        self.millrace.stop()


@pytest.fixture(scope="module")
def victim(new_folder: Callable[[str], Path]) -> Iterator[Victim]:
    millrace = engine(new_folder("malformed") / "here", PIPELINE + ARCHIVE, settings=SETTINGS)
    made = Victim(millrace.start())
    for kind, said in (("milter", b"\0\0"), ("smtp", b"EHL"), ("http", b"GET /hea")):
        for _ in range(10):
            peer = socket.create_connection(("127.0.0.1", millrace.port(kind)), 10)
            peer.sendall(said)  # and then nothing more
            made.slow.append(peer)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _serves_on(victim: Victim) -> Iterator[None]:
    """After each attack: healthy, no traceback, and a clean mail passes at both doors."""
    yield
    assert victim.healthz() == 200
    said = victim.millrace.said()
    assert "traceback" not in said
    assert '"level":"error"' not in said
    talk = MilterTalk(victim.millrace.port("milter"))
    assert talk.mail(CLEAN_MAIL) is Answer.ACCEPT
    talk.close()
    with smtplib.SMTP("127.0.0.1", victim.millrace.port("smtp"), "x.example", 20) as smtp:
        assert smtp_mail(smtp, CLEAN_MAIL) == 250


# --- mails


def malformed(folder: Path, count: int) -> Iterator[bytes]:
    """All mails of the published folder, then mutations of them without end; `count` in all."""
    found = [p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()]
    chance = random.Random(SEED)
    yield from islice(found, count)
    for _ in range(count - len(found)):
        yield mutated(chance, found)


def mutated(chance: random.Random, found: list[bytes]) -> bytes:
    """One mail with one to three kinds of damage."""
    raw = chance.choice(found)[:200_000]
    for _ in range(chance.randint(1, 3)):
        raw = chance.choice(DAMAGES)(chance, raw, chance.choice(found)[:50_000])
    return raw


def cut(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    return raw[: chance.randint(0, len(raw))]


def splice(chance: random.Random, raw: bytes, other: bytes) -> bytes:
    return raw[: chance.randint(0, len(raw))] + other[chance.randint(0, len(other)) :]


def flip(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    bent = bytearray(raw or b"x")
    for _ in range(chance.randint(1, 40)):
        bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
    return bytes(bent)


def scatter(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    """NULs, 8-bit octets, bare CR and LF, wherever they fall."""
    dust = (b"\0", b"\xff", b"\x80\xfe", b"\r", b"\n", b"\r\n", b"\xe2\x80\xa8", b"=?", b"?=", b'"')
    for _ in range(chance.randint(1, 30)):
        at = chance.randint(0, len(raw))
        raw = raw[:at] + chance.choice(dust) + raw[at:]
    return raw


def huge_field(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    name = chance.choice((b"From", b"Subject", b"DKIM-Signature", b"Content-Type", b"X"))
    piece = chance.choice((b"a", b"<", b'"', b"(", b"=?utf-8?q?", b";b=", b",", b"\r\n\t"))
    return name + b": " + piece * (chance.randint(1000, 40_000) // len(piece)) + b"\r\n" + raw


def many_fields(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    return b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(chance.randint(100, 2000))) + raw


def deep(chance: random.Random, raw: bytes, _: bytes) -> bytes:
    levels = chance.randint(50, 800)
    head = b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n"
    return b"".join(head % (n, n) for n in range(levels)) + raw


DAMAGES = (cut, splice, flip, flip, scatter, scatter, huge_field, many_fields, deep)


def crlf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.data
def test_two_thousand_malformed_mails_are_each_answered(victim: Victim, shared_data: Path) -> None:
    mails = list(malformed(shared_data / "mime", MAILS))
    to_milter, to_smtp = Milter(victim), Smtp(victim)
    to_milter.send(crlf(mails[0]))
    to_smtp.send(crlf(mails[0]))
    before = victim.kib()
    for at, raw in enumerate(mails):
        # one in five comes as it is: with bare CR and LF, which the SMTP door refuses
        whole = raw if at % 5 == 0 else crlf(raw)
        (to_milter if at % 2 else to_smtp).send(whole)
    to_milter.end()
    to_smtp.end()
    assert to_milter.answered + to_smtp.answered == MAILS + 2
    assert min(to_milter.taken, to_smtp.taken) > MAILS // 8
    grown = victim.kib() - before
    assert grown < GROWTH_MAX_KIB, f"{MAILS} mails left {grown} KiB more in memory"
    settle(lambda: len(victim.millrace.decisions()) >= to_milter.taken, "records")
    broken = [
        (record["id"], run["name"], run["note"])
        for record in victim.millrace.decisions()
        for run in record["filters"]
        if run["state"] in ("failed", "timed-out")
    ]
    assert broken == []


class Milter:
    """Mails over milter connections, many on each."""

    def __init__(self, victim: Victim) -> None:
        self._port = victim.millrace.port("milter")
        self._talk: MilterTalk | None = None
        self.answered = self.taken = 0

    def send(self, raw: bytes) -> None:
        self._talk = self._talk or MilterTalk(self._port)
        answer = self._talk.mail(raw)
        assert isinstance(answer, Answer | Reply)
        self.answered += 1
        self.taken += answer is Answer.ACCEPT
        if self.answered % 50 == 0:
            self.end()

    def end(self) -> None:
        if self._talk is not None:
            self._talk.close()
            self._talk = None


class Smtp:
    """Mails over SMTP connections; a refusal may end one."""

    def __init__(self, victim: Victim) -> None:
        self._port = victim.millrace.port("smtp")
        self._smtp: smtplib.SMTP | None = None
        self.answered = self.taken = 0

    def send(self, raw: bytes) -> None:
        if self._smtp is None:
            self._smtp = smtplib.SMTP("127.0.0.1", self._port, "x.example", 20)
            self._smtp.ehlo()
        code = smtp_mail(self._smtp, raw)
        assert 200 <= code < 600
        self.answered += 1
        self.taken += code == 250
        if code != 250:
            self.end()

    def end(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


# --- conversations


def milter_packet(command: bytes, payload: bytes = b"") -> bytes:
    return (len(payload) + 1).to_bytes(4, "big") + command + payload


OFFER = milter_packet(b"O", (6).to_bytes(4, "big") + b"\0\0\x01\xff\0\x1f\xff\xff")


def test_random_octets_end_their_own_connection_alone(victim: Victim) -> None:
    chance = random.Random(SEED)
    for kind in ("milter", "smtp", "http"):
        for _ in range(60):
            shout(victim.millrace.port(kind), [chance.randbytes(chance.randint(1, 3000))])


def test_milter_packets_out_of_order_and_unknown_are_no_trouble(victim: Victim) -> None:
    chance = random.Random(SEED)
    payloads = (b"", b"\0", b"x", b"a\0b\0", b"\xff" * 9, b"<a@b>\0", chance.randbytes(300))
    for _ in range(250):
        commands = chance.choices(b"OCHMRTLNBEADQKUX\0", k=chance.randint(1, 14))
        packets = [milter_packet(bytes([each]), chance.choice(payloads)) for each in commands]
        offer = [OFFER] if chance.random() < 0.8 else []
        shout(victim.millrace.port("milter"), offer + packets)


def test_cut_and_oversized_milter_packets_are_no_trouble(victim: Victim) -> None:
    port = victim.millrace.port("milter")
    whole = OFFER + milter_packet(b"C", b"x\x004\0\x19192.0.2.7\0") + milter_packet(b"H", b"x\0")
    for at in range(len(whole)):
        shout(port, [whole[:at]])
    for length in (0, 1 << 20, 1 << 31, (1 << 32) - 1):
        shout(port, [OFFER, length.to_bytes(4, "big") + b"B" + b"x" * 100_000])


def test_an_endless_header_section_is_refused_at_both_doors(victim: Victim) -> None:
    talk = MilterTalk(victim.millrace.port("milter"))
    answer = talk.mail(b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(3000)))
    talk.close()
    assert isinstance(answer, Reply)
    assert answer.code == 552
    with smtplib.SMTP("127.0.0.1", victim.millrace.port("smtp"), "x.example", 20) as smtp:
        assert smtp_mail(smtp, b"X: " + b"y" * 3_000_000) == 552


def test_a_mail_beyond_the_limit_is_refused_at_both_doors(victim: Victim) -> None:
    large = mail("large") + b"0123456789abcdef0123456789abcdef\r\n" * 300_000
    talk = MilterTalk(victim.millrace.port("milter"))
    answer = talk.mail(large)
    talk.close()
    assert isinstance(answer, Reply)
    assert answer.code == 552
    with smtplib.SMTP("127.0.0.1", victim.millrace.port("smtp"), "x.example", 20) as smtp:
        assert smtp_mail(smtp, large) == 552


def test_smtp_that_is_none_is_answered_and_let_go(victim: Victim) -> None:
    port = victim.millrace.port("smtp")
    chance = random.Random(SEED)
    words = (b"EHLO x", b"HELO", b"MAIL FROM:<>", b"MAIL FROM:<@>", b"RCPT TO:<a@b>", b"DATA")
    words += (b"RSET", b"NOOP", b"VRFY a", b"STARTTLS", b"AUTH PLAIN", b"BDAT 5", b"\xff\xfe")
    words += (b"X" * 3000, b".", b"", b"MAIL FROM:<" + b"a" * 2000 + b"@b>", b"XCLIENT ADDR=1")
    for _ in range(150):
        lines = chance.choices(words, k=chance.randint(1, 20))
        ends = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")
        heard = shout(port, [line + chance.choice(ends) for line in lines])
        assert heard.startswith(b"220 ")
    shout(port, [b"EHLO x\r\nMAIL FROM:<a@b>\r\n" + b"RCPT TO:<a@rcpt.example>\r\n" * 5000])
