"""The record: one line of JSON whose keys other programs rely on."""

import json
from dataclasses import dataclass, replace

import pytest

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    ReplaceBody,
)
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Helo, Login, Peer, Session, Tls
from millrace.engine.mail.trace import Run
from millrace.engine.mail.verdict import Action, Because, Reply, Verdict
from millrace.engine.policy.decision import Decision, RecipientDecision
from millrace.engine.policy.judge import Term
from millrace.filters.archive import Archived
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Aligned, Dmarc
from millrace.filters.spam import Spam
from millrace.filters.spf import Spf
from millrace.filters.virus import Virus

BEN = Address("ben", "example.net")
REFUSED = Verdict(
    Action.REJECT,
    Reply(550, "5.7.26", "No"),
    Because("dmarc", "p=reject", "BODY", "policies/default.toml:31"),
)
RECORD = Decision(
    id="4F2A1B",
    time=1_800_000_000.5,
    revision="abc",
    pipeline="inbound",
    session=Session("S1", "milter", Peer("192.0.2.7", rdns="mx.example")),
    sender=Sender(Address("a", "b.example")),
    recipients=(RecipientDecision(Recipient(BEN), Verdict(), {}),),
    verdict=REFUSED,
    total=7.25,
    terms=(Term("spam-model", 7.25, "the model"),),
    facts={
        "spf": Spf("pass", "mfrom", "b.example"),
        "dkim": Dkim("none"),
        "dmarc": Dmarc("fail", "reject", "b.example", "b.example", "b.example",
                       Aligned(True, False)),
        "spam": Spam(0.97, "default"),
        "virus": Virus("clean", "", "clamd"),
        "archive": Archived("00", 5, False),
    },
    edits=(),
    runs=(Run("spf", "MAIL", "ran", 1.23456, "x"), Run("dkim", "BODY", "not-reached")),
    size=123,
    ms=8.44444,
)  # fmt: skip


def data(**changes) -> dict:
    return json.loads(replace(RECORD, **changes).as_json())


def test_record_has_the_keys_that_other_programs_read():
    found = data()
    assert found["id"] == "4F2A1B"
    assert found["revision"] == "abc"
    assert found["action"] == "reject"
    assert found["reply"] == "550 5.7.26 No"
    assert found["because"] == {
        "rule": "dmarc",
        "why": "p=reject",
        "stage": "BODY",
        "place": "policies/default.toml:31",
    }
    assert found["score"] == {
        "total": 7.25,
        "terms": [{"name": "spam-model", "add": 7.25, "why": "the model"}],
    }
    assert found["filters"][0] == {
        "name": "spf",
        "stage": "MAIL",
        "state": "ran",
        "ms": 1.235,
        "note": "x",
    }
    assert found["ms"] == 8.444
    assert found["time"] == "2027-01-15T08:00:00.500Z"


@pytest.mark.parametrize(
    ("fact", "keys"),
    [
        ("spf", {"result", "scope", "domain", "reason"}),
        ("dkim", {"result", "signatures"}),
        ("dmarc", {"result", "policy", "domain", "record_domain", "aligned"}),
        ("spam", {"probability", "model"}),
        ("virus", {"found", "engine"}),
    ],
)
def test_facts_have_the_keys_that_other_programs_read(fact, keys):
    assert keys <= data()["facts"][fact].keys()


def test_alignment_is_told_for_both_methods():
    assert data()["facts"]["dmarc"]["aligned"] == {"spf": True, "dkim": False}


def test_who_said_what_is_in_the_record():
    session = Session("S1", "smtp", Peer("192.0.2.7"), Helo("mx"), Tls("TLSv1.3", "x"),
                      Login("ann"))  # fmt: skip
    found = data(session=session)
    assert found["session"] == {
        "id": "S1",
        "listener": "smtp",
        "ip": "192.0.2.7",
        "rdns": "",
        "helo": "mx",
        "tls": "TLSv1.3",
        "login": "ann",
    }
    assert (found["from"], found["to"]) == ("a@b.example", ["ben@example.net"])


def test_null_sender_is_empty_and_a_missing_one_is_null():
    assert data(sender=Sender(None))["from"] == ""
    assert data(sender=None)["from"] is None


def test_each_recipient_has_its_own_verdict():
    entry = RecipientDecision(Recipient(BEN), REFUSED, {"spf": Spf("none", "helo", "x")})
    (found,) = data(recipients=(entry,))["recipients"]
    assert (found["address"], found["action"], found["rule"]) == (
        "ben@example.net",
        "reject",
        "dmarc",
    )
    assert found["facts"]["spf"]["result"] == "none"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (AddHeader("A", "b"), {"kind": "AddHeader", "name": "A", "value": "b"}),
        (
            InsertHeader("A", "b", 1),
            {"kind": "InsertHeader", "name": "A", "value": "b", "index": 1},
        ),
        (ChangeHeader("A", "b"), {"kind": "ChangeHeader", "name": "A", "value": "b", "index": 1}),
        (RemoveHeader("A"), {"kind": "RemoveHeader", "name": "A", "index": 1}),
        (ReplaceBody(b"abc"), {"kind": "ReplaceBody", "body_size": 3}),
        (ChangeSender(None), {"kind": "ChangeSender", "address": "", "options": []}),
        (
            AddRecipient(BEN, ("NOTIFY=NEVER",)),
            {"kind": "AddRecipient", "address": "ben@example.net", "options": ["NOTIFY=NEVER"]},
        ),
        (RemoveRecipient(BEN), {"kind": "RemoveRecipient", "address": "ben@example.net"}),
    ],
)
def test_each_kind_of_edit_is_told(edit, expected):
    assert data(edits=(edit,))["edits"] == [expected]


def test_verdict_without_reason_has_the_same_keys():
    found = data(verdict=Verdict())
    assert (found["action"], found["reply"]) == ("pass", "")
    assert found["because"] == {"rule": "", "why": "", "stage": "", "place": ""}


def test_octets_that_are_no_text_are_shown_and_stop_nothing():
    sender = Sender(Address("a\udcff", "b.example"))
    assert data(sender=sender)["from"] == "a\\udcff@b.example"


@dataclass(frozen=True, slots=True)
class Odd(Fact):
    value: object


@pytest.mark.parametrize("value", [complex(1, 2), {1: {2}}, b"\xff", object])
def test_fact_that_json_has_no_word_for_stops_nothing(value):
    assert "value" in data(facts={"odd": Odd(value)})["facts"]["odd"]


def test_record_is_one_line_whatever_strangers_wrote():
    note = Run("x", "MAIL", "failed", 0, "two\nlines\u2028")
    assert b"\n" not in replace(RECORD, runs=(note,)).as_json()
