"""The parts of a mail's price, each alone, in CPU microseconds (the best of some rounds)."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from millrace.engine.document import Document
from millrace.engine.load.milter import events
from millrace.engine.mail.address import Address
from millrace.engine.mail.author import Author
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mailauth.dkim import Signature
from millrace.engine.mailauth.dmarc import parse
from millrace.engine.pipeline import graph, spec
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving, Transaction
from millrace.engine.policy.decision import Decision
from millrace.engine.policy.judge import speak
from millrace.engine.policy.rule import Rule
from millrace.engine.services import SystemClock
from millrace.engine.store.observation import observe
from millrace.engine.store.reports import key_of
from millrace.engine.wire import milter as wire
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Aligned, Dmarc
from millrace.filters.spam import ScoreSpam, Spam
from millrace.filters.spf import Spf
from millrace.models.classify import Models

from . import corpus as mails
from . import lists, mailauth
from .corpus import Corpus, Mail
from .noops import FILTERS
from .report import Figure

_POLICY = """[[rule]]
name = "never"
when = "dmarc.result == 'fail' and dmarc.policy == 'reject' and spam.probability > 0.5"
then = "reject"
"""
_RULE_FILTERS = "".join(f'[[filter]]\nuse = "{n}"\n' for n in ("spf", "dkim", "dmarc", "spam"))


def figures(corpus: Corpus, quick: bool) -> Iterator[Figure]:
    """Every part, one after the other."""
    least = 0.02 if quick else 0.15
    yield Figure("engine, seven filters that do nothing", _timed(_engine(), least), 100)
    yield Figure("milter codec, one mail", _timed(_codec(corpus.mails[0]), least))
    yield from mailauth.figures(corpus, lambda run: _timed(run, least))
    for size, goal in ((2, 150), (10, 350), (50, 1300)):
        yield Figure(f"spam score, {size} KB", _timed(_spam(size), least), goal)
    yield Figure("condition of three comparisons", _timed(_condition(), least), 1)
    yield Figure("condition of three comparisons that hold", _timed(_holding(), least), 1)
    yield Figure("condition of a size, networks and a pattern", _timed(_measured(), least))
    yield Figure("judging 200 rules, of which the last matches", _timed(_judging(), least), 100)
    yield Figure("reading and compiling a policy of 500 rules", _timed(_reading(500), least))
    yield from lists.figures(lambda run: _timed(run, least), quick)
    yield Figure("decision record of seven filters", _timed(_record(), least))
    yield Figure("note for a DMARC report, one mail", _timed(_noted(), least), 40)


def _timed(run: Callable[[], Any], least: float) -> float:
    """Microseconds of one run: the best of five rounds of at least `least` seconds in all."""
    return asyncio.run(_rounds(run, least / 5))


async def _rounds(run: Callable[[], Any], least: float) -> float:
    best = float("inf")
    for _ in range(5):
        count, began = 0, time.process_time()
        while (spent := time.process_time() - began) < least:
            for _ in range(10):
                result = run()
                if inspect.isawaitable(result):
                    await result
            count += 10
        best = min(best, spent / count)
    return best * 1e6


def _engine() -> Callable[[], Any]:
    serving = Serving(_noop_plan(), dict, SystemClock(), lambda _: None)
    return lambda: _one_mail(serving)


def _noop_plan() -> Plan:
    text = "".join(f'[[filter]]\nuse = "{name}"\n' for name in FILTERS)
    return graph.compile_plan(
        spec.load(Document(text, "noop.toml"), "noop", FILTERS.__getitem__),
        Document("", "pass.toml"),
        "pass",
    )


_SMALL = Message.parse(b"From: a@b.example\r\nSubject: x\r\n\r\nhello\r\n")


async def _one_mail(serving: Serving) -> None:
    transaction = Transaction(serving, "bench")
    await transaction.connect(Peer("192.0.2.1"))
    await transaction.helo(Helo("mail.b.example"))
    await transaction.mail(Sender(Address("a", "b.example")))
    await transaction.rcpt(Recipient(Address("c", "d.example")))
    await transaction.message(_SMALL)
    await transaction.settle()


def _codec(mail: Mail) -> Callable[[], Any]:
    """Both ways: events out of the MTA's bytes, and the answers' bytes."""
    client = wire.MilterClient()
    wants = wire.Wants(events=frozenset(wire.Command), replies=frozenset())
    offer = client.open()
    server = wire.MilterServer(wants)
    list(server.receive(offer))
    client.receive(server.answer())
    told = b"".join(client.send(event) for event in events(mail, 1))

    def run() -> None:
        machine = wire.MilterServer(wants)
        list(machine.receive(offer))
        machine.answer()
        for event in machine.receive(told):
            if machine.terms.replies_to(event.command):
                machine.send(wire.Answer.CONTINUE)

    return run


def _text(size: int) -> str:
    return mails.prose(random.Random(size), size * 1024)


def _spam(size: int) -> Callable[[], Any]:
    head = b"From: Anna <anna@b.example>\r\nDate: x\r\nSubject: the report\r\n\r\n"
    message, models = Message.parse(head + _text(size).encode()), Models()

    def run() -> None:
        ScoreSpam().run(message, models)

    return run


def _condition() -> Callable[[], Any]:
    return partial(_rules(_POLICY)[0].when.run, {})


def _holding() -> Callable[[], Any]:
    return partial(_rules(_POLICY)[0].when.run, _facts())


def _measured() -> Callable[[], Any]:
    when = "message.size < 25MiB and peer.ip in ['192.0.2.0/24', '2001:db8::/32']"
    rule = _rule("all", f"{when} and matches(helo.name, '^mail[0-9]*[.]')")
    return partial(_rules(rule)[0].when.run, _facts())


def _judging() -> Callable[[], Any]:
    whens = [f"dmarc.result == 'fail' and from.domain == 'd{n}.example'" for n in range(100)]
    whens += [f"peer.ip == '192.0.2.{n}' or spam.probability > 0.9{n:02}" for n in range(98, 0, -1)]
    whens += ["spf.result == 'softfail' and not login", "dmarc.policy == 'reject'"]
    rules = _rules("".join(_rule(f"r{at}", when) for at, when in enumerate(whens)))
    facts = {**_facts(), "spam": Spam(0.4, "x")}
    rule, _ = speak(rules, facts)
    assert rule is rules[199]
    return partial(speak, rules, facts)


def _rule(name: str, when: str) -> str:
    return f'[[rule]]\nname = "{name}"\nwhen = "{when}"\nthen = "tag"\n'


def _rules(policy: str) -> tuple[Rule, ...]:
    wired = spec.load(Document(_RULE_FILTERS, "rule.toml"), "rule")
    return graph.compile_plan(wired, Document(policy, "policy.toml"), "policy").policy.rules


def _facts() -> dict[str, Any]:
    name, aligned = "b.example", Aligned(spf=False, dkim=False)
    return {
        "peer": Peer("192.0.2.200"),
        "helo": Helo("mail.b.example"),
        "from": Author((Address("a", name),)),
        "message": _SMALL,
        "spf": Spf("fail", "mfrom", name),
        "dmarc": Dmarc("fail", "reject", name, name, name, aligned),
        "spam": Spam(0.97, "x"),
    }


def _noted() -> Callable[[], Any]:
    """What the loop pays; the lane writes mails alike together."""
    kept: list[Decision] = []
    asyncio.run(_one_mail(Serving(_noop_plan(), dict, SystemClock(), kept.append)))
    signatures = tuple(Signature("pass", name, "s1", "rsa-sha256") for name in ("b.example", "c"))
    record = parse("v=DMARC1; p=reject; rua=mailto:r@b.example")
    name, aligned = "b.example", Aligned(spf=False, dkim=True)
    facts = {
        "spf": Spf("pass", "mfrom", "bounce.c.example"),
        "dkim": Dkim("pass", signatures),
        "dmarc": Dmarc("pass", "reject", name, name, name, aligned, "", record),
    }
    mail = replace(kept[0], facts=facts)

    def run() -> None:
        seen = observe(mail, "dmarc@receiver.example")
        assert seen is not None
        key_of(20_000, seen)

    return run


def _reading(count: int) -> Callable[[], Any]:
    """What a reload does once a worker: both files as texts, to a plan."""
    text = "".join(_POLICY.replace("never", f"rule-{n}") for n in range(count))

    def run() -> None:
        wired = spec.load(Document(_RULE_FILTERS, "rule.toml"), "rule")
        graph.compile_plan(wired, Document(text, "policy.toml"), "policy")

    return run


def _record() -> Callable[[], Any]:
    kept: list[Decision] = []
    serving = Serving(_noop_plan(), dict, SystemClock(), kept.append)
    asyncio.run(_one_mail(serving))

    def run() -> None:
        kept[0].as_json()

    return run
