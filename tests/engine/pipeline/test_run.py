"""One filter's run: whatever it does, a finding comes out."""

import asyncio
from dataclasses import dataclass

import pytest
from fakes import Walker, plan_of, uses

from millrace.engine.errors import Unavailable
from millrace.engine.mail.finding import Fact, Finding, defer, reject
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mail.verdict import Action


@dataclass(frozen=True, slots=True)
class Seen(Fact):
    word: str = ""


@dataclass(frozen=True, slots=True)
class Other(Fact):
    pass


class Crash:
    def run(self, peer: Peer) -> Seen:
        raise AssertionError("no such luck")


class CrashLater:
    async def run(self, peer: Peer) -> Seen:
        raise AssertionError("no such luck")


class Away:
    async def run(self, peer: Peer) -> Seen:
        raise Unavailable("redis 127.0.0.1:6379", "refused")


class Hang:
    async def run(self, peer: Peer) -> Seen:
        await asyncio.Event().wait()
        return Seen()


class Lie:
    def run(self, peer: Peer) -> Seen:
        return "text"


class LieByFinding:
    def run(self, peer: Peer) -> Finding[Seen]:
        return Finding(Other())


class Silent:
    def run(self, peer: Peer) -> Seen:
        return None


class Refuse:
    def run(self, peer: Peer) -> Finding[Seen]:
        return Finding(Seen("x"), advice=reject("5.7.1", "No"), note="because")


class Later:
    def run(self, peer: Peer) -> Finding[Seen]:
        return Finding(advice=defer("4.7.1", "Later"))


class NeedSeen:
    def run(self, helo: Helo, seen: Seen) -> Other:
        return Other()


async def _connected(plan, *, helo: bool = False):
    walker = Walker(plan)
    verdict = await walker.tx.connect(Peer("192.0.2.7"))
    if helo:
        verdict = await walker.tx.helo(Helo("mx.example"))
    return verdict, walker.tx.decision()


def connected(text: str, policy: str = "", *, helo: bool = False, **filters: type):
    return asyncio.run(_connected(plan_of(text, policy, **filters), helo=helo))


@pytest.mark.parametrize(
    ("cls", "note"),
    [
        (Crash, "AssertionError: no such luck"),
        (CrashLater, "AssertionError: no such luck"),
        (Away, "redis 127.0.0.1:6379: refused"),
        (Lie, "TypeError: run() gave str, not Seen"),
        (LieByFinding, "TypeError: run() gave Other, not Seen"),
    ],
)
def test_filter_that_fails_is_noted_and_stops_nothing(cls, note):
    verdict, record = connected(uses("it"), it=cls)
    assert verdict.action is Action.PASS
    assert (record.runs[0].state, record.runs[0].note) == ("failed", note)
    assert record.facts == {}


def test_filter_past_its_time_is_cancelled_and_noted():
    verdict, record = connected(uses("it") + 'timeout = "1ms"', it=Hang)
    assert verdict.action is Action.PASS
    assert record.runs[0].state == "timed-out"
    assert record.runs[0].note == "gave no answer within 0.001 s"


@pytest.mark.parametrize("cls", [Crash, CrashLater, Away, Lie])
@pytest.mark.parametrize(
    ("word", "reply"),
    [
        ("tag", ""),
        ("quarantine", ""),
        ("defer", "451 4.7.1 Please try again later"),
        ("reject", "550 5.7.1 Refused by the receiver's policy"),
    ],
)
def test_on_error_is_what_the_operator_chose(cls, word, reply):
    verdict, _ = connected(uses("it") + f'on_error = "{word}"', it=cls)
    assert verdict.action.word == word
    assert str(verdict.reply or "") == reply
    assert verdict.because is not None
    assert (verdict.because.rule, verdict.because.why) == ("it", "it could not answer")


def test_on_error_holds_for_time_as_for_errors():
    verdict, _ = connected(uses("it") + 'timeout = "1ms"\non_error = "defer"', it=Hang)
    assert verdict.action is Action.DEFER


def test_filter_that_says_nothing_leaves_its_fact_absent():
    _, record = connected(uses("it"), it=Silent)
    assert record.runs[0].state == "ran"
    assert record.facts == {}


def test_filter_without_its_fact_is_skipped_with_the_reason():
    _, record = connected(uses("it", "giver"), helo=True, giver=Crash, it=NeedSeen)
    assert (record.runs[0].state, record.runs[0].note) == ("skipped", "there is no seen")


def test_filter_whose_when_is_false_is_skipped():
    text = uses("it") + "when = \"peer.ip == '192.0.2.8'\""
    verdict, record = connected(text, it=Refuse)
    assert verdict.action is Action.PASS
    assert (record.runs[0].state, record.runs[0].note) == ("skipped", "when is false")


def test_advice_speaks_where_no_rule_has_spoken():
    verdict, _ = connected(uses("it"), it=Refuse)
    assert (str(verdict.reply), verdict.because.rule) == ("550 5.7.1 No", "it")
    assert verdict.because.why == "because"


def rule(then: str, when: str = "peer") -> str:
    return f'[[rule]]\nname = "r"\nwhen = "{when}"\nthen = "{then}"\n'


def test_rule_beats_advice_in_both_directions():
    passed, _ = connected(uses("it"), rule("pass"), it=Refuse)
    assert passed.action is Action.PASS
    refused, _ = connected(uses("it"), rule("reject"), it=Later)
    assert refused.action is Action.REJECT


def test_failure_that_must_not_be_passed_over_beats_a_milder_rule():
    text = uses("it") + 'on_error = "defer"'
    verdict, _ = connected(text, rule("pass"), it=Crash)
    assert (verdict.action, verdict.because.rule) == (Action.DEFER, "it")


def test_stricter_rule_beats_a_failure():
    text = uses("it") + 'on_error = "defer"'
    verdict, _ = connected(text, rule("reject"), it=Crash)
    assert (verdict.action, verdict.because.rule) == (Action.REJECT, "r")


def test_strictest_of_several_advices_counts():
    verdict, _ = connected(uses("a", "b", "c"), a=Later, b=Refuse, c=Later)
    assert verdict.action is Action.REJECT
