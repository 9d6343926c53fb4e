"""Beside a real Postfix, mails flowing: a policy is edited, refused, mended, taken, rolled back."""

from __future__ import annotations

import os
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from live.overseen import Overseen
from live.parties import header, send, session
from live.senders import MAIL, Senders, Sent
from live.sites import Site, decided, mail

RELOADS = int(os.environ.get("MILLRACE_RELOADS", "20"))
SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
[limits]
mails = 2000
"""
PIPELINE = 'policy = "own"\n[[filter]]\nuse = "spf"\n'

# what each mail is marked with, once before its body is known and once after
MARKS = """
[[rule]]
name = "early"
when = "helo.name == 'client.example'"
then = "tag"
stop = false
add_header = {{ X-Early = "{mark}" }}

[[rule]]
name = "late"
when = "message.size > 0"
then = "tag"
stop = false
add_header = {{ X-Late = "{mark}" }}
"""
OFFERS = """
[[rule]]
name = "offers"
when = "sender.local == 'offers'"
then = "tag"
add_header = { X-Offers = "perhaps" }
"""
REFUSED = OFFERS.replace('"tag"', '"reject"').replace("add_header", "#") + (
    'reply = "550 5.7.1 No offers, please"\n'
)
SHADOWED = """
[[rule]]
name = "monday-offers"
when = "sender.local == 'offers' and helo.name == 'monday.example'"
then = "pass"
"""
TESTS = """
[[case]]
name = "offers are {what}"
given = {{ sender = {{ local = "offers" }} }}
expect = "{what}"
"""


class Daemon(Overseen):
    """Two workers that ask one policy, `own`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder, SETTINGS, pipelines__inbound_toml=PIPELINE)
        (folder / "zone.json").write_text("{}")
        (folder / "policies").mkdir()

    def policy(self, text: str, tests: str = "") -> None:
        (self.folder / "policies/own.toml").write_text(text)
        (self.folder / "policies/own.test.toml").write_text(tests)

    def serve(self, text: str, tests: str = "") -> str:
        """Put it in force; its revision."""
        self.policy(text, tests)
        status, told = self.page("/reload", "POST")
        assert (status, told["result"]) == (200, "swapped"), told["problems"]
        return str(told["revisions"]["inbound"])


class Flow(Site):
    """A Postfix beside that daemon."""

    millrace: Daemon

    def senders(self) -> Senders:
        return Senders([("smtp", self.port)] * 2)

    def settled(self, sent: Sent) -> list[dict[str, Any]]:
        """Every mail that was taken is at its end once, and was decided once: these decisions."""
        wanted = Counter(f"n{number}@good.example" for number in sent.taken)

        def found() -> Counter[str]:
            return Counter(each["from"] for each in self.records("n"))

        wait_for(lambda: len(self.sink.mails()) >= wanted.total(), "the last mail", 60)
        wait_for(lambda: found().total() >= wanted.total(), "the last record")
        arrived = Counter(mail.sender for mail in self.sink.mails() if mail.sender.startswith("n"))
        assert wanted == arrived == found()
        return self.records("n")

    def records(self, local: str) -> list[dict[str, Any]]:
        return [each for each in self.millrace.decisions() if each["from"].startswith(local)]


@pytest.fixture
def flow(root: None, new_folder: Callable[[str], Path]) -> Iterator[Flow]:
    daemon = Daemon(new_folder("walk") / "here")
    daemon.policy(MARKS.format(mark="first") + OFFERS, TESTS.format(what="tag"))
    made = Flow(daemon.start())
    yield made
    made.close()


# --- the walk


def test_a_policy_is_edited_refused_mended_taken_and_rolled_back_while_mails_flow(
    flow: Flow,
) -> None:
    daemon = flow.millrace
    first = daemon.told()["revision"]
    with flow.senders() as senders:
        assert offered(flow, "before") == ("tag", first)
        a_shadowed_rule_is_found(flow)
        a_red_test_stops_the_reload(flow, first)
        second = it_is_mended_and_taken(flow, first)
        it_is_rolled_back(flow, first)
        daemon.restarted()
        assert (daemon.told()["revision"], daemon.told()["rollback"]) == (first, True)
        assert offered(flow, "restarted") == ("tag", first)
        sent = senders.end()
    assert sent.troubles == {}
    assert {each["revision"] for each in flow.settled(sent)} == {first, second}


def offered(flow: Flow, subject: str) -> tuple[str, str]:
    """An offer as its sender, its reader and the record see it: what is done, by which revision."""
    sender = f"offers@{subject}.example"
    refusal = None
    try:
        send(flow.port, mail(subject), sender, "ann@rcpt.example")
    except smtplib.SMTPSenderRefused as error:
        refusal = error.smtp_code, error.smtp_error
    if refusal is None:
        assert header(flow.arrived(subject).raw, "X-Offers") == ["perhaps"]
    assert refusal in (None, (550, b"5.7.1 No offers, please"))
    told = decided(flow.millrace, lambda record: record["from"] == sender)
    assert told["because"]["rule"] == "offers"
    assert told["action"] == ("reject" if refusal else "tag")
    return told["action"], told["revision"]


def a_shadowed_rule_is_found(flow: Flow) -> None:
    flow.millrace.policy(MARKS.format(mark="second") + OFFERS + SHADOWED, TESTS.format(what="tag"))
    done = flow.millrace.tried("check")
    assert done.returncode == 1
    assert 'rule "monday-offers" is never reached' in done.stdout
    assert '"offers"' in done.stdout


def a_red_test_stops_the_reload(flow: Flow, first: str) -> None:
    daemon = flow.millrace
    daemon.policy(MARKS.format(mark="second") + REFUSED, TESTS.format(what="tag"))
    done = daemon.tried("reload", *daemon.at())
    assert done.returncode == 1
    assert 'test "offers are tag": expected tag, got reject' in done.stderr
    assert f"refused: revision {first} serves" in done.stdout
    assert f"reload refused, revision {first} serves on" in daemon.said()
    status = daemon.command("status", *daemon.at()).decode()
    assert f"was refused, {first} serves on: policies/own.test.toml:2" in status
    assert daemon.metric("millrace_reload_refused_state") == 1
    assert offered(flow, "red") == ("tag", first)


def it_is_mended_and_taken(flow: Flow, first: str) -> str:
    daemon = flow.millrace
    daemon.policy(MARKS.format(mark="second") + REFUSED, TESTS.format(what="reject"))
    assert daemon.tried("check").returncode == 0
    assert "`offers` now refuses where it tagged" in daemon.command("policy", "diff").decode()
    daemon.command("reload", "--why", "no more offers", *daemon.at())
    told = daemon.told()
    assert (told["refused_reload"], daemon.metric("millrace_reload_refused_state")) == (None, 0)
    assert offered(flow, "mended") == ("reject", told["revision"])
    assert told["revision"] != first
    return str(told["revision"])


def it_is_rolled_back(flow: Flow, first: str) -> None:
    daemon = flow.millrace
    daemon.command("policy", "rollback", "--why", "they were wanted", *daemon.at())
    assert (daemon.told()["revision"], daemon.told()["rollback"]) == (first, True)
    assert offered(flow, "rolled-back") == ("tag", first)


# --- many reloads


def test_reloads_under_load_lose_double_and_mix_no_mail(flow: Flow) -> None:
    daemon = flow.millrace
    marks = {daemon.told()["revision"]: "first"}
    with flow.senders() as senders:
        for n in range(RELOADS):
            mark = ("second", "first")[n % 2]
            with session(flow.port) as smtp:
                begun(smtp, n)
                marks[daemon.serve(MARKS.format(mark=mark) + OFFERS)] = mark
                ended(smtp, n)
            before = len(senders.sent.taken)
            wait_for(lambda seen=before: len(senders.sent.taken) > seen, "a mail of that plan")
        sent = senders.end()
    assert sent.troubles == {}
    sent.taken += [f"over{n}" for n in range(RELOADS)]
    records = flow.settled(sent)
    assert set(marks.values()) == {"first", "second"}
    assert len(marks) == len({each["revision"] for each in records}) == 2
    decided_by = Counter(each["revision"] for each in records)
    assert {each: counted(daemon, each) for each in marks} == decided_by
    by_sender = {each["from"]: marks[each["revision"]] for each in records}
    found = {mail.sender: seen(mail.raw) for mail in flow.sink.mails()}
    assert found == {sender: ([mark], [mark]) for sender, mark in by_sender.items()}
    # a mail that was begun before a swap and ended behind it is of the plan before
    over = [by_sender[f"nover{n}@good.example"] for n in range(RELOADS)]
    assert over == [("first", "second")[n % 2] for n in range(RELOADS)]


def counted(daemon: Daemon, revision: str) -> float:
    """The mails of a revision, by the metrics."""
    labels = f'action="tag",pipeline="inbound",revision="{revision}"'
    return daemon.metric(f"millrace_revision_mails_total{{{labels}}}")


def begun(smtp: smtplib.SMTP, number: int) -> None:
    """A mail whose envelope is judged."""
    assert smtp.mail(f"nover{number}@good.example")[0] == 250
    assert smtp.rcpt("ann@rcpt.example")[0] == 250


def ended(smtp: smtplib.SMTP, number: int) -> None:
    """The rest of it."""
    assert smtp.data(MAIL.format(number=f"over{number}"))[0] == 250


def seen(raw: bytes) -> tuple[list[str], list[str]]:
    """Both marks of a mail."""
    return header(raw, "X-Early"), header(raw, "X-Late")
