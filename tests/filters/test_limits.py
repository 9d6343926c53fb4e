"""What somebody may send: limits by rate and by number at once, and what a network is known for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import Walker, plan_of

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.session import Login, Peer
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.subject import subject
from millrace.engine.mail.verdict import Action
from millrace.engine.operations.lease import Acquire
from millrace.engine.options import Seconds
from millrace.engine.pipeline import spec
from millrace.engine.state.memory import MemoryState
from millrace.filters.concurrency import LimitConcurrency
from millrace.filters.ratelimit import LimitRate
from millrace.filters.reputation import Reputation, WeighNetwork
from millrace.filters.spam import Spam

PEER = Peer("192.0.2.7")
SENDER = Sender(Address("Ann", "B.example"))


def limits(use: str, **options: Any) -> str:
    lines = [f"{key} = {value!r}" for key, value in options.items()]
    return f'[[filter]]\nuse = "{use}"\n' + "\n".join(lines).replace("'", '"') + "\n"


def site(*pipelines: str) -> Walker:
    plan = plan_of("".join(pipelines), ratelimit=LimitRate, concurrency=LimitConcurrency)
    state = MemoryState()
    walker = Walker(plan, state=state)
    state.now = walker.clock.now
    return walker


def again(walker: Walker) -> Walker:
    """Another connection to the same daemon."""
    other = Walker(walker.serving.plan, state=walker.serving.ports()["state"])
    other.clock.time = walker.clock.time
    return other


def mails(walker: Walker, count: int) -> list[Action]:
    async def go() -> list[Action]:
        return [(await again(walker).whole()).action for _ in range(count)]

    return asyncio.run(go())


# --- whom


@pytest.mark.parametrize(
    ("per", "who"),
    [
        ("address", "192.0.2.7"),
        ("network", "192.0.2.0/24"),
        ("sender", "ann@b.example"),
        ("domain", "b.example"),
        ("login", "ann"),
        ("recipient", "ben@example.net"),
    ],
)
def test_a_subject_is_named_by_what_the_limit_is_for(per: Any, who: str) -> None:
    recipient = Recipient(Address("Ben", "example.NET"))
    assert subject(per, PEER, SENDER, Login("ann"), recipient) == who


def test_the_null_sender_and_who_has_no_login_are_nobody() -> None:
    for per in ("sender", "domain", "login", "recipient"):
        assert subject(per, PEER, Sender(None), None) == ""


def test_addresses_of_one_64_are_one_network() -> None:
    one, other = Peer("2001:db8::1"), Peer("2001:db8::ffff:1")
    assert subject("network", one, SENDER, None) == subject("network", other, SENDER, None)


# --- rates


def test_mails_above_the_limit_are_deferred_until_the_window_has_slid() -> None:
    walker = site(limits("ratelimit", per="address", limit=2, window="1h"))
    assert mails(walker, 3) == [Action.PASS, Action.PASS, Action.DEFER]
    walker.serving.ports()["state"].now = lambda: walker.clock.time + 7200
    assert mails(walker, 1) == [Action.PASS]


def test_the_verdict_tells_whose_limit_it_is_and_when_to_come_again() -> None:
    walker = site(limits("ratelimit", per="network", limit=1, burst=1, window="100s"))
    mails(walker, 1)
    other = again(walker)
    verdict = asyncio.run(other.whole())
    assert verdict.because is not None
    assert verdict.because.why == "network 192.0.2.0/24: more than 1 mails in 100 s; again in 100 s"
    assert str(verdict.reply) == "451 4.7.1 Too many mails, come again in 100 seconds"
    assert other.records[-1].facts["ratelimit"].limited


def test_above_a_limit_mail_is_refused_where_that_is_asked_for() -> None:
    walker = site(limits("ratelimit", per="sender", limit=1, above="refuse"))
    assert mails(walker, 2) == [Action.PASS, Action.REJECT]


def test_a_limit_that_only_tells_refuses_nothing() -> None:
    walker = site(limits("ratelimit", per="domain", limit=1, above="tell"))
    assert mails(walker, 2) == [Action.PASS, Action.PASS]


def test_bounces_have_no_sender_that_could_be_limited() -> None:
    walker = site(limits("ratelimit", per="sender", limit=1))

    async def bounce() -> Action:
        other = again(walker)
        await other.greet()
        return (await other.begin("")).action

    assert [asyncio.run(bounce()) for _ in range(3)] == [Action.PASS] * 3


def test_recipients_are_counted_one_by_one() -> None:
    walker = site(limits("ratelimit", per="login", limit=2, count="recipients"))

    async def go() -> list[Action]:
        await walker.greet()
        await walker.begin(login=Login("ann"))
        return [(await walker.to(f"r{n}@example.net")).action for n in range(4)]

    assert asyncio.run(go()) == [Action.PASS, Action.PASS, Action.DEFER, Action.DEFER]


def test_octets_are_counted_when_the_whole_mail_is_there() -> None:
    walker = site(limits("ratelimit", per="address", limit=50, count="octets"))
    assert walker.serving.plan.nodes[0].stage is Stage.BODY
    assert mails(walker, 3) == [Action.PASS, Action.DEFER, Action.DEFER]  # 30 octets each


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ({"per": "address"}, Stage.MAIL),
        ({"per": "recipient"}, Stage.RCPT),
        ({"per": "address", "count": "recipients"}, Stage.RCPT),
        ({"per": "address", "count": "octets"}, Stage.BODY),
    ],
)
def test_a_limit_runs_as_early_as_what_it_counts_is_known(options: Any, stage: Stage) -> None:
    assert site(limits("ratelimit", limit=1, **options)).serving.plan.nodes[0].stage is stage


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per": "recipient", "limit": 1, "count": "octets"}, "no single recipient's"),
        ({"per": "address", "limit": 0}, "above 0"),
        ({"per": "adress", "limit": 1}, "can never be 'adress'"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_at_load(options: Any, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        spec.load(Document(limits("ratelimit", **options), "p.toml"), "p")


# --- at once


async def begun(walker: Walker) -> tuple[Walker, Action]:
    other = again(walker)
    await other.greet()
    return other, (await other.begin()).action


def test_mails_under_way_are_bounded_and_each_end_makes_room() -> None:
    walker = site(limits("concurrency", per="address", limit=2))

    async def go() -> list[Action]:
        (one, first), (two, second), (_, third) = [await begun(walker) for _ in range(3)]
        await one.to()
        await one.content()  # a whole mail
        _, fourth = await begun(walker)
        two.tx.abort()  # a lost connection
        _, fifth = await begun(walker)
        _, sixth = await begun(walker)
        return [first, second, third, fourth, fifth, sixth]

    passed, deferred = Action.PASS, Action.DEFER
    assert asyncio.run(go()) == [passed, passed, deferred, passed, passed, deferred]


def test_a_mail_that_is_refused_gives_its_lease_back() -> None:
    walker = site(
        limits("concurrency", per="address", limit=1),
        limits("ratelimit", per="address", limit=1, count="octets", above="refuse"),
    )
    assert mails(walker, 3) == [Action.PASS, Action.REJECT, Action.REJECT]


def test_the_next_mail_of_a_connection_takes_the_place_of_the_one_before() -> None:
    walker = site(limits("concurrency", per="address", limit=1))

    async def go() -> list[Action]:
        other, first = await begun(walker)
        return [first, (await other.begin()).action]

    assert asyncio.run(go()) == [Action.PASS, Action.PASS]


def test_a_lease_that_a_crash_left_behind_ends_by_itself() -> None:
    walker = site(limits("concurrency", per="address", limit=1, lease="10m"))
    state = walker.serving.ports()["state"]

    async def go() -> list[Action]:
        _, first = await begun(walker)
        walker.clock.move(599)
        state.now = walker.clock.now
        _, second = await begun(walker)
        walker.clock.move(2)
        _, third = await begun(walker)
        return [first, second, third]

    assert asyncio.run(go()) == [Action.PASS, Action.DEFER, Action.PASS]


def test_a_lease_whose_answer_nobody_waited_for_is_given_back() -> None:
    class Slow(MemoryState):
        async def ask(self, operation: Any) -> Any:
            answer = await super().ask(operation)
            if isinstance(operation, Acquire):
                await asyncio.Event().wait()
            return answer

    state = Slow()
    walker = Walker(
        plan_of(
            limits("concurrency", per="address", limit=1, timeout="10ms"),
            concurrency=LimitConcurrency,
        ),
        state=state,
    )
    asyncio.run(walker.whole())
    again_ = asyncio.run(MemoryState.ask(state, Acquire(_only_key(state), "other", 1, 60)))
    assert again_.granted


def _only_key(state: MemoryState) -> str:
    (key,) = [key for key in state._rows if key.startswith("lease:")]
    return key.removeprefix("lease:{").removesuffix("}")


def test_recipients_have_leases_of_their_own_until_the_mail_ends() -> None:
    walker = site(limits("concurrency", per="recipient", limit=1))

    async def go() -> list[Action]:
        one, _ = await begun(walker)
        two, _ = await begun(walker)
        found = [await one.to("ann@example.net"), await two.to("ann@example.net")]
        found.append(await two.to("ben@example.net"))
        await one.content()
        found.append(await two.to("ann@example.net"))
        return [verdict.action for verdict in found]

    assert asyncio.run(go()) == [Action.PASS, Action.DEFER, Action.PASS, Action.PASS]


# --- what a network is known for


def test_a_network_is_known_for_the_mail_before_this_one() -> None:
    state, weigh = MemoryState(lambda: 1000.0), WeighNetwork()

    async def go(*probabilities: float) -> list[Reputation]:
        found = [Spam(each, "default") for each in probabilities]
        return [await weigh.run(PEER, None, spam, state) for spam in found]

    assert asyncio.run(go(1.0, 1.0, 0.0, 0.0)) == [
        Reputation(0.0, 0.0),
        Reputation(1.0, 1.0),
        Reputation(1.0, 2.0),
        Reputation(0.667, 3.0),
    ]


def test_old_mail_of_a_network_counts_less() -> None:
    state, weigh = MemoryState(lambda: 1000.0), WeighNetwork(Seconds(100.0))
    asyncio.run(weigh.run(PEER, None, Spam(1.0, "default"), state))
    state.now = lambda: 1100.0
    found = asyncio.run(weigh.run(PEER, None, Spam(0.0, "default"), state))
    assert found == Reputation(1.0, 0.5)


def test_mail_of_who_has_a_login_is_not_held_against_the_network() -> None:
    state, weigh = MemoryState(), WeighNetwork()
    asyncio.run(weigh.run(PEER, Login("ann"), Spam(1.0, "default"), state))
    found = asyncio.run(weigh.run(PEER, None, Spam(1.0, "default"), state))
    assert found == Reputation(0.0, 0.0)
