"""Each filter: given → expect, and what it does when its service fails."""

import asyncio

import pytest
from fakes import FakeDns, FakeScanner, FakeStore, ManualClock, Walker

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edited, InsertHeader, RemoveHeader
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.verdict import Action, Because, Verdict
from millrace.engine.mailauth.dkim import Signature
from millrace.engine.options import Octets, Seconds
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.ports import Answer
from millrace.engine.state.memory import MemoryState
from millrace.filters.archive import Archived, KeepArchive
from millrace.filters.dkim import CheckDkim, Dkim
from millrace.filters.dmarc import AlignDmarc, Dmarc
from millrace.filters.greylist import CheckGreylist
from millrace.filters.spam import Spam
from millrace.filters.spf import CheckSpf, Spf
from millrace.filters.stamp import Stamp
from millrace.filters.virus import ScanVirus, Virus

ANN = Recipient(Address("ann", "example.net"))
PEER = Peer("192.0.2.7")
MAIL = Message.parse(b"From: a@b.example\r\n\r\nhello\r\n")


def sender(text: str) -> Sender:
    return Sender(Address.parse(text))


# --- spf

SPF = FakeDns(
    {
        ("b.example", "TXT"): [b"v=spf1 ip4:192.0.2.0/24 -all"],
        ("fail.example", "TXT"): [b"v=spf1 -all"],
        ("soft.example", "TXT"): [b"v=spf1 ~all"],
        ("slow.example", "TXT"): Answer("timeout"),
        ("bad.example", "TXT"): [b"v=spf1 nonsense"],
        ("mx.example", "TXT"): [b"v=spf1 ip4:192.0.2.7 -all"],
    }
)


def checked(who, **options):
    filter_ = CheckSpf(**options)
    return asyncio.run(filter_.run(PEER, Helo("mx.example"), sender(who), SPF, ManualClock()))


@pytest.mark.parametrize(
    ("who", "result", "scope", "domain"),
    [
        ("a@b.example", "pass", "mfrom", "b.example"),
        ("a@fail.example", "fail", "mfrom", "fail.example"),
        ("a@soft.example", "softfail", "mfrom", "soft.example"),
        ("a@slow.example", "temperror", "mfrom", "slow.example"),
        ("a@bad.example", "permerror", "mfrom", "bad.example"),
        ("a@none.example", "none", "mfrom", "none.example"),
        ("", "pass", "helo", "mx.example"),
    ],
)
def test_spf_says_whether_the_peer_may_send(who, result, scope, domain):
    found = checked(who)
    assert (found.result, found.scope, found.domain) == (result, scope, domain)


@pytest.mark.parametrize(
    ("who", "also", "result", "helo"),
    [
        ("a@fail.example", True, "fail", "pass"),
        ("a@fail.example", False, "fail", ""),
        ("", False, "pass", "pass"),
    ],
)
def test_spf_tells_of_the_greeting_beside_the_sender_where_asked(who, also, result, helo):
    found = checked(who, helo=also)
    assert (found.result, found.helo) == (result, helo)


# --- dkim (the signatures themselves are held by tests of engine/mailauth)


def test_dkim_without_signatures_says_none_and_asks_nobody():
    dns = FakeDns()
    assert asyncio.run(CheckDkim().run(MAIL, dns, ManualClock())) == Dkim("none")
    assert dns.asked == []


def test_dkim_that_cannot_be_read_is_a_result():
    mail = Message.parse(b"DKIM-Signature: nonsense\r\nFrom: a@b\r\n\r\n")
    found = asyncio.run(CheckDkim().run(mail, FakeDns(), ManualClock()))
    assert found.result == "permerror"
    assert found.reason


@pytest.mark.parametrize("padding", [0, 2 << 20])
def test_dkim_of_a_long_body_is_hashed_like_a_short_one(padding):
    mail = Message.parse(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n"
        b"From: a@b.example\r\n\r\n" + b"x" * padding
    )
    found = asyncio.run(CheckDkim().run(mail, FakeDns(), ManualClock()))
    assert [each.domain for each in found.signatures] == ["b.example"]
    assert found.result != "pass"


def test_dkim_fact_names_the_domains_that_passed():
    fact = Dkim(
        "pass",
        (Signature("fail", "x", "s", "a", 0, "bad"), Signature("pass", "b.example", "s", "a")),
    )
    assert (fact.domains, fact.reason) == (("b.example",), "bad")


# --- dmarc

DMARC = FakeDns(
    {
        ("_dmarc.b.example", "TXT"): [b"v=DMARC1; p=reject"],
        ("_dmarc.lax.example", "TXT"): [b"v=DMARC1; p=none"],
        ("_dmarc.slow.example", "TXT"): Answer("timeout"),
    }
)


@pytest.mark.parametrize(
    ("value", "spf", "dkim", "result", "policy"),
    [
        ("a@b.example", Spf("pass", "mfrom", "b.example"), Dkim("none"), "pass", "reject"),
        ("a@b.example", Spf("pass", "mfrom", "other.example"), Dkim("none"), "fail", "reject"),
        ("a@b.example", Spf("fail", "mfrom", "b.example"), Dkim("none"), "fail", "reject"),
        (
            "a@b.example",
            Spf("none", "mfrom", ""),
            Dkim("pass", (Signature("pass", "mail.b.example", "s", "a"),)),
            "pass",
            "reject",
        ),
        ("a@b.example", Spf("temperror", "mfrom", ""), Dkim("none"), "temperror", "reject"),
        ("a@none.example", Spf("none", "mfrom", ""), Dkim("none"), "none", "none"),
        ("a@slow.example", Spf("none", "mfrom", ""), Dkim("none"), "temperror", "none"),
        ("a@lax.example, c@b.example", Spf("none", "mfrom", ""), Dkim("none"), "fail", "reject"),
        ("nobody", Spf("none", "mfrom", ""), Dkim("none"), "permerror", "none"),
        (
            ", ".join(f"a@d{n}.example" for n in range(5)),
            Spf("none", "mfrom", ""),
            Dkim("none"),
            "permerror",
            "none",
        ),
    ],
)
def test_dmarc_says_whether_the_author_stands_behind_it(value, spf, dkim, result, policy):
    author = Author.of(Headers([(b"From", value.encode())]))
    found = asyncio.run(AlignDmarc().run(author, spf, dkim, DMARC))
    assert (found.result, found.policy) == (result, policy)


def test_dmarc_carries_the_record_that_a_report_repeats():
    text = (
        b"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; t=y; fo=1:d; rua=mailto:r@b.example"
    )
    dns = FakeDns({("_dmarc.b.example", "TXT"): [text]})
    author = Author.of(Headers([(b"From", b"a@news.b.example")]))
    found = asyncio.run(AlignDmarc().run(author, Spf("none", "mfrom", ""), Dkim("none"), dns))
    record = found.record
    assert found.discovery == "treewalk"
    assert (found.record_domain, record.policy, record.subdomains) == (
        "b.example",
        "reject",
        "none",
    )
    assert (record.nonexistent, record.testing, record.failure) == ("quarantine", True, "1:d")
    assert (record.strict_dkim, record.strict_spf) == (True, False)
    assert record.reports == "mailto:r@b.example"


BY_LIST = '[[filter]]\nuse = "dmarc"\nmethod = "public-suffix-list"\nsuffixes = "{}"'


def test_dmarc_by_a_list_takes_the_registered_domain(tmp_path):
    (tmp_path / "list.dat").write_text("com\nexample\n")
    filter_ = AlignDmarc("public-suffix-list", tmp_path / "list.dat")
    author = Author.of(Headers([(b"From", b"a@deep.down.b.example")]))
    found = asyncio.run(filter_.run(author, Spf("none", "mfrom", ""), Dkim("none"), DMARC))
    assert (found.record_domain, found.discovery) == ("b.example", "psl")


@pytest.mark.parametrize(
    ("name", "octets", "words"),
    [("absent", None, "cannot be read"), ("odd", b"nothing", "no rule for 'com'")],
)
def test_dmarc_says_how_to_mend_a_list_that_is_none(tmp_path, name, octets, words):
    if octets is not None:
        (tmp_path / name).write_bytes(octets)
    with pytest.raises(Misconfigured, match=words) as told:
        spec.load(Document(BY_LIST.format(tmp_path / name), "p.toml"), "p")
    assert name in str(told.value)
    assert "install the package publicsuffix" in str(told.value)


# --- greylist


def test_greylist_waits_once_and_knows_who_came_back():
    clock, checks = ManualClock(), CheckGreylist(wait=Seconds(300))
    state = MemoryState(clock.now)

    async def visit(peer=PEER, who="a@b.example", to=ANN):
        found = await checks.run(peer, sender(who), to, state)
        return found.state, found.wait, found.left

    assert asyncio.run(visit()) == ("new", True, 300.0)
    clock.move(299)
    assert asyncio.run(visit()) == ("early", True, 1.0)
    assert asyncio.run(visit(Peer("192.0.2.99"), "A@B.example")) == ("early", True, 1.0)
    clock.move(1)
    assert asyncio.run(visit()) == ("passed", False, 0.0)
    assert asyncio.run(visit()) == ("known", False, 0.0)
    for other in [
        visit(peer=Peer("192.0.3.7")),
        visit(who="c@b.example"),
        visit(to=Recipient(Address("ben", "example.net"))),
    ]:
        assert asyncio.run(other)[0] == "new"


def test_greylist_window_must_be_longer_than_the_wait():
    text = '[[filter]]\nuse = "greylist"\nwait = "2h"\nwindow = "1h"'
    with pytest.raises(Misconfigured, match="window must be longer than wait"):
        spec.load(Document(text, "p.toml"), "p")


@pytest.mark.parametrize("option", ['lifetime = "0s"', "allow_after = -1"])
def test_greylist_refuses_a_lifetime_or_number_of_passes_that_lets_nobody_or_everybody_in(option):
    text = f'[[filter]]\nuse = "greylist"\n{option}'
    with pytest.raises(Misconfigured, match="lifetime must be above 0, and allow_after not below"):
        spec.load(Document(text, "p.toml"), "p")


# --- virus


@pytest.mark.parametrize(
    ("found", "fact"),
    [("", Virus("clean", "", "fake")), ("Eicar", Virus("found", "Eicar", "fake"))],
)
def test_virus_says_what_the_scanner_found(found, fact):
    scanner = FakeScanner(found)
    filter_ = ScanVirus("/run/x", patience=Seconds(3.0))
    assert asyncio.run(filter_.run(MAIL, scanner)) == fact
    assert scanner.asked == [("/run/x", 3.0)]


def test_virus_sends_nothing_above_the_limit_and_does_not_say_clean():
    scanner = FakeScanner()
    exactly, less = Octets(MAIL.size), Octets(MAIL.size - 1)
    assert asyncio.run(ScanVirus(size_max=exactly).run(MAIL, scanner)).result == "clean"
    assert asyncio.run(ScanVirus(size_max=less).run(MAIL, scanner)).result == "too-large"
    assert len(scanner.asked) == 1


# --- archive


def test_archive_keeps_the_edited_mail_and_says_so():
    store, clock = FakeStore(), ManualClock()
    mail = Edited(Envelope("id", sender("a@b.example"), (ANN,)), MAIL)
    found = asyncio.run(KeepArchive(Seconds(60.0)).run(mail, store, clock))
    assert store.kept == [(mail, clock.now(), 60.0)]
    assert found == Archived(found.sha256, MAIL.size, False)


# --- stamp

OURS = Stamp("mx.example", spam_headers=True, trace_header=True)
ENVELOPE = Envelope("4F2A", sender("a@b.example"), (ANN,))
TAGGED = Verdict(Action.TAG, because=Because("spam-maybe"), score=5.25)


def stamped(stamp=OURS, raw=b"", verdict=TAGGED, **facts):
    asks = dict.fromkeys(("login", "spf", "dkim", "arc", "dmarc", "spam"))
    headers = Message.parse(raw + b"\r\n").headers
    return stamp.run(
        PEER, Helo("mx.b.example"), verdict, ENVELOPE, headers, **{**asks, **facts}
    ).edits


def test_stamp_writes_every_result_on_top():
    edit = stamped(
        Stamp("mx.example"),
        login=Login("ann"),
        spf=Spf("pass", "mfrom", "b.example"),
        dkim=Dkim("fail", (Signature("fail", "b.example", "s1", "rsa-sha256", 0, "body"),)),
        dmarc=AlignedDmarc,
    )
    assert edit == (
        InsertHeader(
            "Authentication-Results",
            "mx.example;\n\tauth=pass smtp.auth=ann;\n\tspf=pass smtp.mailfrom=a@b.example;\n\t"
            "dkim=fail reason=body header.d=b.example header.s=s1 header.a=rsa-sha256;\n\t"
            "dmarc=pass header.from=b.example policy.dmarc=reject",
        ),
    )


AlignedDmarc = Dmarc("pass", "reject", "b.example", "b.example", "b.example", None)


def test_stamp_of_a_mail_without_results_says_none():
    (edit,) = stamped(Stamp("mx.example"))
    assert edit.value == "mx.example;\n\tnone"


def test_stamp_removes_what_claims_to_be_ours_from_the_last_to_the_first():
    raw = (
        b"Authentication-Results: mx.example; spf=pass\r\n"
        b"Authentication-Results: other.example; spf=pass\r\n"
        b"Authentication-Results: (c) MX.example. 1; spf=pass\r\n"
        b"X-Spam-Flag: NO\r\n"
    )
    removed = [edit for edit in stamped(raw=raw) if isinstance(edit, RemoveHeader)]
    assert removed == [
        RemoveHeader("Authentication-Results", 3),
        RemoveHeader("Authentication-Results", 1),
        RemoveHeader("X-Spam-Flag", 1),
    ]
    kept = [edit for edit in stamped(Stamp("mx.example"), raw) if isinstance(edit, RemoveHeader)]
    assert RemoveHeader("X-Spam-Flag", 1) not in kept


def test_stamp_adds_the_spf_result_as_a_field_of_its_own_when_asked():
    fact = Spf("permerror", "mfrom", "b.example", "", 'odd"; term\r\nX-Evil: (1)')
    told = {e.name: e.value for e in stamped(Stamp("mx.example", received_spf=True), spf=fact)}
    assert told["Received-SPF"].split("\n\t") == [
        'permerror (mx.example: odd"; term??X-Evil: 1)',
        "receiver=mx.example;",
        "client-ip=192.0.2.7;",
        "identity=mailfrom;",
        'envelope-from="a@b.example";',
        "helo=mx.b.example;",
        'problem="odd\\"; term??X-Evil: (1)"',
    ]
    assert "Received-SPF" not in {e.name for e in stamped(Stamp("mx.example"), spf=fact)}


def test_stamp_adds_score_and_trace_when_asked():
    told = {e.name: e.value for e in stamped(spam=Spam(0.9, "default"))}
    assert told["X-Spam-Status"] == "Yes, score=5.25, probability=0.900"
    assert (told["X-Spam-Score"], told["X-Spam-Flag"]) == ("5.25", "YES")
    assert told["X-Millrace"] == "tag spam-maybe 4F2A"
    assert {e.name: e.value for e in stamped(verdict=Verdict())}["X-Millrace"] == "pass - 4F2A"


# --- through a small plan: errors and time


class HangingPort:
    """A service that never answers, whatever is asked."""

    async def _hang(self, *_args, **_kwargs):
        await asyncio.Event().wait()

    ask = ask_all = visit = scan = keep = _hang


class BrokenPort:
    """A service that is away."""

    async def _fail(self, *_args, **_kwargs):
        raise Unavailable("service", "away")

    ask = ask_all = visit = scan = keep = _fail


PORTS = {"spf": "dns", "greylist": "state", "virus": "scanner", "archive": "store"}


def walked(name: str, port: object, on_error: str = "") -> tuple[Verdict, object]:
    text = f'[[filter]]\nuse = "{name}"\ntimeout = "10ms"\n{on_error}'
    plan = compile_plan(spec.load(Document(text, "p.toml"), "p"), Document("", "l.toml"), "l")
    walker = Walker(plan, **{PORTS[name]: port})
    verdict = asyncio.run(walker.whole())
    walker.tx.abort()
    (record,) = walker.records
    return verdict, record.runs[0]


@pytest.mark.parametrize("name", PORTS)
@pytest.mark.parametrize(("port", "state"), [(HangingPort, "timed-out"), (BrokenPort, "failed")])
def test_filter_whose_service_fails_does_what_on_error_says(name, port, state):
    verdict, run = walked(name, port(), 'on_error = "reject"')
    assert (verdict.action, run.state) == (Action.REJECT, state)
    verdict, run = walked(name, port(), 'on_error = "skip"')
    assert (verdict.action, run.state) == (Action.PASS, state)


def test_archive_defers_by_itself_when_its_disk_refuses():
    verdict, run = walked("archive", BrokenPort())
    assert (verdict.action, run.note) == (Action.DEFER, "service: away")
