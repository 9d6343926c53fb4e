"""Beside a real Postfix: what rules do beside deciding, as the MTA carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live.parties import header, send
from live.sites import ARCHIVE, GOOD, Site, decided, engine, mail

ANN, BOB, TEAM = "ann@rcpt.example", "bob@rcpt.example", "team@rcpt.example"
POLICY = """
[[rule]]
name = "from-afar"
when = "peer.ip in '192.0.2.0/24'"
then = "tag"
stop = false
why  = "not from here"
add_header = { X-Afar = "{peer.ip}" }

[[rule]]
name = "postmaster"
when = "recipient.local == 'postmaster'"
then = "pass"
redirect = "team@rcpt.example"

[[rule]]
name = "elsewhere"
when = "sender.local == 'elsewhere' and message.size < 1MiB"
then = "pass"
redirect = "team@rcpt.example"

[[rule]]
name = "look"
when = "matches(sender.local, '^held')"
then = "quarantine"
quarantine = "a look at {sender.local}"
"""


@pytest.fixture(scope="module")
def site(root: None, new_folder: Callable[[str], Path]) -> Iterator[Site]:
    folder = new_folder("rules") / "here"
    made = Site(engine(folder, ARCHIVE, policy="acts", policies__acts_toml=POLICY).start())
    yield made
    made.close()


def record(site: Site, sender: str) -> dict[str, Any]:
    """The decision on the one mail of that sender."""
    return decided(site.millrace, lambda each: each["from"] == sender)


def test_a_rule_that_only_marks_adds_its_field_and_is_in_the_record(site: Site) -> None:
    send(site.port, mail("marked"), "marked@good.example", ANN, ip=GOOD)
    assert header(site.arrived("marked").raw, "X-Afar") == [GOOD]
    told = record(site, "marked@good.example")
    assert (told["action"], told["because"]["rule"]) == ("tag", "from-afar")
    assert [act["rule"] for act in told["acts"]] == ["from-afar"]


def test_a_redirected_mail_reaches_the_new_address_alone(site: Site) -> None:
    send(site.port, mail("moved"), "elsewhere@good.example", ANN, BOB, ip=GOOD)
    assert site.arrived("moved").recipients == [TEAM]


def test_one_redirected_recipient_leaves_the_others(site: Site) -> None:
    to = (ANN, "postmaster@rcpt.example")
    send(site.port, mail("split"), "split@good.example", *to, ip=GOOD)
    assert sorted(site.arrived("split").recipients) == [ANN, TEAM]


def test_a_held_mail_says_why_in_the_record_and_lies_in_the_hold_queue(site: Site) -> None:
    send(site.port, mail("held"), "held-1@good.example", ANN, ip=GOOD)
    told = record(site, "held-1@good.example")
    assert (told["action"], told["hold"]) == ("quarantine", "a look at held-1")
    queue = site.postfix.queue()
    assert [e["queue_name"] for e in queue if e["queue_id"] == told["id"]] == ["hold"]
