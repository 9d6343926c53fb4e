"""The SMTP door over real sockets: what the peer hears, and what the next hop gets."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import dataclass, field

import pytest
from fakes import room_for

from millrace.engine.document import Document
from millrace.engine.errors import Unavailable
from millrace.engine.mail.edits import AddHeader, Edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.verdict import PASS, Action, Reply, Verdict
from millrace.engine.net.listener import Bounds, listen
from millrace.engine.net.stream import Stream, connect
from millrace.engine.operations.lease import Lease
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.ports import Answer, Delivery
from millrace.engine.servers.smtp import FULL, Door, SmtpFrontEnd
from millrace.engine.wire.smtp import Limits, SmtpClient
from millrace.filters.concurrency import LimitConcurrency


@dataclass(frozen=True, slots=True)
class Nothing(Fact):
    """A fact that says nothing."""


ACTIONS = {
    "later": Verdict(Action.DEFER),
    "never": Verdict(Action.REJECT, Reply(550, "5.7.1", "Never")),
    "drop": Verdict(Action.DISCARD),
    "hold": Verdict(Action.QUARANTINE),
}


def _advice(word: str) -> Verdict:
    if word == "crash":
        raise AssertionError("filters crash, too")
    return ACTIONS.get(word, PASS)


@dataclass(frozen=True, slots=True)
class AtConnect:
    def run(self, peer: Peer) -> Finding[Nothing]:
        return Finding(Nothing(), advice=_advice(peer.rdns.partition(".")[0]))


@dataclass(frozen=True, slots=True)
class AtHelo:
    def run(self, helo: Helo) -> Finding[Nothing]:
        return Finding(Nothing(), advice=_advice(helo.name.partition(".")[0]))


@dataclass(frozen=True, slots=True)
class AtMail:
    def run(self, sender: Sender) -> Finding[Nothing]:
        return Finding(Nothing(), advice=_advice(sender.local))


@dataclass(frozen=True, slots=True)
class AtRcpt:
    def run(self, recipient: Recipient) -> Finding[Nothing]:
        return Finding(Nothing(), advice=_advice(recipient.local))


@dataclass(frozen=True, slots=True)
class AtBody:
    def run(self, peer: Peer, helo: Helo, message: Message) -> Finding[Nothing]:
        seen = AddHeader("X-Seen", f"{peer.ip} {peer.port} {peer.rdns} {helo.name}")
        subject = (message.headers.first(b"subject") or b"").strip().decode()
        return Finding(Nothing(), advice=_advice(subject), edits=(seen,))


FILTERS = {
    f"at_{cls.__name__[2:].lower()}": cls for cls in (AtConnect, AtHelo, AtMail, AtRcpt, AtBody)
}


@dataclass(frozen=True, slots=True)
class AtLast:
    def run(self, edited: Edited) -> Nothing:
        return Nothing()


def plan(names=tuple(FILTERS), policy=""):
    text = "".join(f'[[filter]]\nuse = "{name}"\n' for name in names)
    pipeline = spec.load(
        Document(text, "test.toml"), "test", (FILTERS | {"at_last": AtLast}).__getitem__
    )
    return compile_plan(pipeline, Document(policy, "policy.toml"), "policy")


@dataclass
class Recorder:
    """A next hop that keeps what it gets, or fails as it is told."""

    reply: Reply = Reply(250, "2.0.0", "Ok")
    away: bool = False
    mails: list[tuple[Envelope, bytes]] = field(default_factory=list)

    async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
        if self.away:
            raise Unavailable("hop", "it is away")
        self.mails.append((envelope, bytes(message)))
        return Delivery(self.reply, {})


class Clock:
    def now(self) -> float:
        return 1_800_000_000.0


class Names:
    """A DNS that knows one name for 127.0.0.1."""

    def __init__(self, name: str) -> None:
        self.table = {"1.0.0.127.in-addr.arpa": (name,), name: ("127.0.0.1",)}

    async def ask(self, name, kind):
        found = self.table.get(name, ())
        return Answer("found" if found else "nxdomain", found)

    async def ask_all(self, questions):
        return [await self.ask(*question) for question in questions]


class Peering:
    """One door with one client; `rdns` is the client's name."""

    def __init__(self, rdns: str = "", **door) -> None:
        self.hop = Recorder()
        self.decided = []
        ports = {"dns": Names(rdns)} if rdns else {}
        self.serving = Serving(plan(), lambda: ports, Clock(), self.decided.append)
        self.idle = door.pop("idle", 5.0)
        self.door = Door("mx.example", self.hop, **door)

    def run(self, client, address="inet:0@127.0.0.1"):
        async def both():
            front = SmtpFrontEnd(self.serving, self.door)
            bounds = Bounds(idle=self.idle)
            listener = await listen(address, front.serve, bounds=bounds, full=FULL)
            stream = await connect(listener.endpoint, timeout=5, idle=5)
            try:
                return await asyncio.wait_for(client(stream), 10)
            finally:
                await stream.close()
                await listener.close(grace=2)

        return asyncio.run(both())

    def say(self, *pieces: bytes) -> list[bytes]:
        """Say all this, and hear the lines that come back until the end."""

        async def client(stream: Stream):
            for piece in pieces:
                stream.write(piece)
            heard = b""
            while data := await stream.read():
                heard += data
            return heard.splitlines()

        return self.run(client)

    def mail(self, sender="ann@a.example", to=("bob@b.example",), text=b"Subject: x\r\n\r\n"):
        """Send one mail; the codes of MAIL, each RCPT, DATA and its end."""
        rcpts = b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in to)
        head = b"EHLO c.example\r\nMAIL FROM:<%s>\r\n" % sender.encode()
        lines = self.say(head, rcpts, b"DATA\r\n", text, b".\r\nQUIT\r\n")
        after = next(i for i, line in enumerate(lines) if line.startswith(b"250 ENHANCED")) + 1
        return [line.decode() for line in lines[after:] if not line.startswith(b"221")]


def test_mail_is_judged_edited_stamped_and_handed_on():
    peering = Peering("client.example")
    answers = peering.mail(text=b"Subject: x\r\n\r\n..dot\r\n")
    assert answers[-1].startswith("250 2.0.0 Taken as ")
    ((envelope, mail),) = peering.hop.mails
    assert str(envelope.sender) == "ann@a.example"
    assert [str(r) for r in envelope.recipients] == ["bob@b.example"]
    head, _, body = mail.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"Received: from c.example (client.example [127.0.0.1])"
    assert lines[1].startswith(b"\tby mx.example (Millrace) with ESMTP id ")
    assert lines[2] == b"\tFri, 15 Jan 2027 08:00:00 +0000"
    assert lines[3] == b"Subject: x"
    assert lines[4].startswith(b"X-Seen: 127.0.0.1 ")
    assert lines[4].endswith(b" client.example c.example")
    assert body == b".dot\r\n"
    assert [d.verdict.action for d in peering.decided] == [Action.PASS]


def test_plan_with_a_filter_for_edited_mail_hands_on_the_same():
    plain, late = Peering(), Peering()
    late.serving.plan = plan((*FILTERS, "at_last"))
    for peering in (plain, late):
        assert peering.mail()[-1].startswith("250 2.0.0 Taken as ")
    first, second = plain.hop.mails[0][1], late.hop.mails[0][1]
    assert first.count(b"X-Seen") == second.count(b"X-Seen") == 1


@pytest.mark.parametrize(
    ("sender", "to", "text", "answers"),
    [
        ("never@a.example", ["bob@b.example"], b"", ["550 5.7.1 Never", "503", "503"]),
        ("later@a.example", ["bob@b.example"], b"", ["451 4.7.1", "503", "503"]),
        ("a@a.example", ["never@b.example"], b"", ["250", "550 5.7.1 Never", "554 5.5.1"]),
        ("a@a.example", ["b@b.example"], b"Subject: never\r\n\r\n", ["250", "250", "354", "550"]),
        ("a@a.example", ["b@b.example"], b"Subject: later\r\n\r\n", ["250", "250", "354", "451"]),
        ("drop@a.example", ["b@b.example"], b"", ["250", "250", "354", "250"]),
        ("a@a.example", ["drop@b.example"], b"", ["250", "250", "354", "250"]),
        ("a@a.example", ["b@b.example"], b"Subject: drop\r\n\r\n", ["250", "250", "354", "250"]),
    ],
)
def test_verdict_is_heard_where_it_falls_and_nothing_is_handed_on(sender, to, text, answers):
    peering = Peering()
    heard = peering.mail(sender, to, text)
    for line, expected in zip(heard, answers, strict=False):
        assert line.startswith(expected)
    assert peering.hop.mails == []
    assert [decision.verdict.action.takes for decision in peering.decided] == [False]


def test_mail_given_up_by_rset_leaves_its_record():
    peering = Peering()
    gone = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<never@b.example>\r\nRSET\r\n"
    peering.say(b"EHLO c\r\n" + gone + gone + b"QUIT\r\n")
    assert [decision.verdict.action for decision in peering.decided] == [Action.REJECT] * 2


def test_refused_recipient_does_not_hinder_the_others():
    peering = Peering()
    heard = peering.mail(to=["never@b.example", "drop@b.example", "bob@b.example"])
    assert [line[:3] for line in heard] == ["250", "550", "250", "250", "354", "250"]
    ((envelope, _),) = peering.hop.mails
    assert [str(r) for r in envelope.recipients] == ["bob@b.example"]


@pytest.mark.parametrize(
    ("word", "greeting"), [("never", b"554 5.7.1 Never"), ("later", b"421 4.7.1")]
)
def test_unwelcome_peer_hears_it_in_the_greeting(word, greeting):
    heard = Peering(f"{word}.example").say(b"QUIT\r\n")
    assert heard[0].startswith(greeting)


def test_peer_whose_every_mail_is_dropped_notices_nothing():
    peering = Peering("drop.example")
    assert peering.mail()[-1].startswith("250")
    assert peering.hop.mails == []
    assert len(peering.decided) == 1


def test_refused_helo_may_be_said_again():
    heard = Peering().say(b"EHLO never.x\r\nMAIL FROM:<>\r\nHELO c\r\nMAIL FROM:<>\r\nQUIT\r\n")
    assert [line[:3] for line in heard] == [b"220", b"550", b"503", b"250", b"250", b"221"]


def test_mail_that_cannot_be_handed_on_stays_with_its_sender():
    peering = Peering()
    peering.hop.away = True
    assert peering.mail()[-1].startswith("451 4.4.1 ")
    (away,) = peering.decided
    assert (away.verdict.action, away.verdict.because.rule) == (Action.DEFER, "next-hop")
    peering = Peering()
    peering.hop.reply = Reply(550, "5.1.1", "<bob@b.example>: No such user")
    assert peering.mail()[-1] == "550 5.1.1 <bob@b.example>: No such user"
    (refused,) = peering.decided
    assert refused.verdict.action is Action.REJECT
    assert refused.verdict.because.why.endswith("550 5.1.1 <bob@b.example>: No such user")


def test_mail_whose_delivery_breaks_off_is_recorded_as_it_was_judged():
    peering = Peering()

    async def broken(envelope: Envelope, message: Message) -> Delivery:
        raise RuntimeError("on purpose")

    peering.hop.deliver = broken
    peering.mail()
    assert [decision.verdict.action for decision in peering.decided] == [Action.PASS]


class Leasing:
    """A state that grants every lease, and remembers what is given back."""

    def __init__(self) -> None:
        self.given_back = []

    async def ask(self, operation):
        return Lease(True, 1)

    def tell(self, operation):
        self.given_back.append(operation)


@pytest.mark.parametrize("away", [False, True])
def test_lease_of_a_mail_is_given_back_when_it_is_handed_on_and_not_before(away):
    peering, state, held = Peering(), Leasing(), []
    text = '[[filter]]\nuse = "concurrency"\nper = "sender"\nlimit = 1\n'
    leased = spec.load(Document(text, "test.toml"), "test", lambda _: LimitConcurrency)
    made = compile_plan(leased, Document("", "policy.toml"), "policy")
    peering.serving = Serving(made, lambda: {"state": state}, Clock(), peering.decided.append)
    deliver = peering.hop.deliver

    async def late(envelope: Envelope, message: Message) -> Delivery:
        held.append(list(state.given_back))
        return await deliver(envelope, message)

    peering.hop.deliver, peering.hop.away = late, away
    peering.mail()
    assert held == [[]]
    assert len(state.given_back) == 1


def test_quarantined_mail_goes_to_its_own_hop_or_is_marked():
    held = Recorder()
    peering = Peering(quarantine=held)
    assert peering.mail(text=b"Subject: hold\r\n\r\n")[-1].startswith("250")
    assert (len(held.mails), peering.hop.mails) == (1, [])
    peering = Peering()
    peering.mail(text=b"Subject: hold\r\n\r\n")
    assert b"\r\nX-Millrace-Quarantine: at_body\r\n" in peering.hop.mails[0][1]


def test_rule_says_why_mail_is_held_where_it_goes_and_what_is_added():
    peering = Peering()
    peering.serving.plan = plan(
        (),
        """
[[rule]]
name = "look"
when = "message"
then = "quarantine"
quarantine = "phishing {message.size}"
redirect = "team@b.example"
add_header = { X-Team = "for {sender.local}" }
""",
    )
    peering.mail(to=["bob@b.example", "ben@b.example"])
    ((envelope, mail),) = peering.hop.mails
    assert [str(r) for r in envelope.recipients] == ["team@b.example"]
    assert b"\r\nX-Millrace-Quarantine: phishing 14\r\n" in mail
    assert b"\r\nX-Team: for ann\r\n" in mail


def test_mail_in_circles_is_refused():
    text = b"Received: x\r\n" * 101 + b"\r\n"
    peering = Peering()
    assert peering.mail(text=text)[-1].startswith("554 5.4.6 ")
    assert peering.hop.mails == []


def test_endless_header_section_is_refused():
    peering = Peering()
    text = (b"X: " + b"y" * 990 + b"\r\n") * 1100
    assert peering.mail(text=text)[-1].startswith("552 5.3.4 ")
    assert peering.hop.mails == []


def test_two_mails_of_one_connection_do_not_mix():
    peering = Peering()
    one = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nSubject: 1\r\n\r\n.\r\n"
    two = one.replace(b"<a@", b"<c@").replace(b"<b@", b"<d@").replace(b": 1", b": 2")
    peering.say(b"EHLO c\r\n" + one + b"MAIL FROM:<gone@a.example>\r\nRSET\r\n" + two + b"QUIT\r\n")
    first, second = peering.hop.mails
    assert (str(first[0].sender), str(second[0].sender)) == ("a@a.example", "c@a.example")
    assert str(second[0].recipients[0]) == "d@b.example"
    assert b"Subject: 2" in second[1]
    assert second[1].count(b"X-Seen") == 1


def test_proxy_speaks_for_its_client():
    trusted = (ipaddress.ip_network("127.0.0.0/8"),)
    peering = Peering(trusted=trusted)
    said = (
        b"XFORWARD NAME=real.example ADDR=192.0.2.9 PORT=77\r\nXFORWARD HELO=really PROTO=SMTP\r\n"
    )
    mail = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n\r\n.\r\n"
    peering.say(b"EHLO proxy\r\n" + said + mail + mail + b"QUIT\r\n")
    first, second = (mail for _, mail in peering.hop.mails)
    assert b"X-Seen: 192.0.2.9 77 real.example really\r\n" in first
    assert b"Received: from really (real.example [192.0.2.9])" in first
    assert b"with SMTP id" in first
    assert b"X-Seen: 127.0.0.1 " in second
    sessions = [decision.session for decision in peering.decided]
    assert [session.peer.ip for session in sessions] == ["192.0.2.9", "127.0.0.1"]


def test_stranger_may_not_speak_for_others():
    heard = Peering().say(
        b"EHLO c\r\nXFORWARD ADDR=192.0.2.9\r\nXCLIENT ADDR=192.0.2.9\r\nQUIT\r\n"
    )
    assert [line[:9] for line in heard[-3:-1]] == [b"502 5.5.1"] * 2
    assert not any(b"XFORWARD" in line for line in heard)


def test_xclient_begins_the_visit_anew(tmp_path):
    peering = Peering()

    async def client(stream):
        stream.write(b"EHLO proxy\r\nXCLIENT ADDR=2001:db8::1 NAME=never.example\r\nEHLO c\r\n")
        stream.write(b"MAIL FROM:<a@a.example>\r\nXCLIENT ADDR=nonsense\r\nQUIT\r\n")
        heard = b""
        while data := await stream.read():
            heard += data
        return heard.splitlines()

    heard = peering.run(client, f"unix:{tmp_path}/s")
    assert [line[:9] for line in heard[-3:]] == [b"550 5.7.1", b"501 5.5.4", b"221 2.0.0"]
    assert peering.decided[0].session.peer.ip == "2001:db8::1"


def test_login_of_xclient_is_in_the_record():
    peering = Peering(trusted=(ipaddress.ip_network("127.0.0.1"),))
    mail = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n\r\n.\r\nQUIT\r\n"
    peering.say(b"XCLIENT LOGIN=ann\r\nEHLO c\r\n" + mail)
    assert peering.decided[0].session.login == Login("ann", "XCLIENT")


def test_silent_peer_hears_a_421():
    assert Peering(idle=0.01).say(b"EHLO c\r\n")[-1].startswith(b"421 4.4.2 ")


def test_connection_has_a_longest_time():
    assert Peering(session=0.01).say(b"EHLO c\r\n")[-1].startswith(b"421 4.4.2 ")


def test_trouble_in_the_house_ends_one_connection_only(caplog):
    peering = Peering()
    peering.hop.reply = None  # a bug in the hop
    assert peering.mail()[-1].startswith("421 4.3.0 ")
    assert "trouble in a connection" in caplog.text


def test_filter_that_crashes_does_not_stop_the_mail():
    peering = Peering()
    assert peering.mail("crash@a.example")[-1].startswith("250")


def test_message_above_the_limit_reaches_nobody():
    peering = Peering(limits=Limits(size=100))
    assert peering.mail(text=b"x" * 150 + b"\r\n")[-1].startswith("552 5.3.4 ")
    assert peering.hop.mails == []


def test_shutdown_says_421_to_who_is_there():
    peering = Peering()

    async def run():
        front = SmtpFrontEnd(peering.serving, peering.door)
        listener = await listen("inet:0@127.0.0.1", front.serve)
        stream = await connect(listener.endpoint, timeout=5, idle=5)
        assert (await stream.read()).startswith(b"220 ")
        await listener.close()
        heard = await stream.read()
        await stream.close()
        return heard

    assert asyncio.run(run()).startswith(b"421 4.3.2 ")


async def hear(stream: Stream, client: SmtpClient) -> int:
    """The code of the next reply."""
    while (answered := client.answered()) is None:
        stream.write(client.outgoing())
        client.feed(await stream.read())
    return answered.reply.code


def test_tls_is_recorded_and_named_in_the_trace(tls_pair):
    peering = Peering(tls=tls_pair.server)

    async def client(stream):
        wire = SmtpClient()
        wire.hello("c")
        assert [await hear(stream, wire), await hear(stream, wire)] == [220, 250]
        wire.starttls()
        assert await hear(stream, wire) == 220
        await stream.start_tls(tls_pair.client, server_name=tls_pair.name)
        wire.tls_started()
        stream.write(b"EHLO c\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n")
        stream.write(b"\r\n.\r\nQUIT\r\n")
        while await stream.read():
            pass

    peering.run(client)
    assert b"with ESMTPS id" in peering.hop.mails[0][1]
    assert peering.decided[0].session.tls.version == "TLSv1.3"


def test_injected_command_is_not_heard_behind_tls(tls_pair):
    peering = Peering(tls=tls_pair.server)
    heard = peering.say(b"EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@a.example>\r\n")
    assert heard[-1] == b"554 5.5.1 Text behind STARTTLS"
    assert peering.decided == []


@pytest.mark.data
def test_every_end_of_data_is_one_mail_or_none(shared_data):
    table = json.loads((shared_data / "smtp" / "end-of-data.json").read_text())
    second = b"MAIL FROM:<x@y.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nSubject: 2\r\n\r\n"
    for case in table:
        peering = Peering()
        peering.mail(text=b"Subject: 1\r\n\r\nhi" + bytes.fromhex(case["hex"]) + second)
        expected = 2 if case["name"] == "CRLF.CRLF" else 1
        assert len(peering.hop.mails) <= expected, case["name"]
        assert all(b"Subject: 1" in mail or expected == 2 for _, mail in peering.hop.mails)


@pytest.mark.parametrize("octets", [100, 100_000], ids=["at the end", "in its midst"])
def test_mail_that_the_spool_has_no_room_for_is_asked_to_come_again(octets: int, caplog):
    peering = Peering(spool_above=10)
    text = b"Subject: x\r\n\r\n" + b"x" * 78 + b"\r\n" * (octets // 2)
    with room_for(10):
        answers = peering.mail(text=text)
    assert answers[-1].startswith("452 4.3.1 ")
    assert peering.hop.mails == []
    assert [record.levelname for record in caplog.records if record.exc_info] == []
