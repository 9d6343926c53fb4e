"""One connection's mails through a plan: order, scopes, early ends, records."""

import asyncio
from dataclasses import dataclass

import pytest
from fakes import FakeStore, ManualClock, Walker, plan_of, uses

from millrace.engine.errors import Bug
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, Edited, RemoveRecipient
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import DISCARD, QUARANTINE, Fact, Finding, defer, reject
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer, Tls
from millrace.engine.mail.verdict import PASS, Action, Verdict
from millrace.engine.pipeline.identity import new_id
from millrace.engine.ports import Store

NO = reject("5.7.1", "No")


@dataclass(frozen=True, slots=True)
class Seen(Fact):
    word: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Peered(Fact):
    word: str = ""


@dataclass(frozen=True, slots=True)
class Helloed(Fact):
    word: str = ""


@dataclass(frozen=True, slots=True)
class Wanted(Fact):
    word: str = ""


@dataclass(frozen=True, slots=True)
class Read(Fact):
    words: tuple[str, ...] = ()


def walked(plan, **ports):
    return Walker(plan, **ports)


# --- order, and side by side


def test_filters_run_in_the_order_of_their_edges():
    order = []

    class First:
        def run(self, message: Message) -> Seen:
            order.append("first")
            return Seen("x")

    class Second:
        async def run(self, seen: Seen) -> Peered:
            order.append("second")
            return Peered(seen.word)

    class Third:
        async def run(self, peered: Peered, seen: Seen) -> Helloed:
            order.append("third")
            return Helloed(peered.word)

    walker = walked(plan_of(uses("c", "b", "a"), a=First, b=Second, c=Third))
    asyncio.run(walker.whole())
    assert order == ["first", "second", "third"]
    assert walker.records[0].facts["c"] == Helloed("x")


def test_filters_of_one_stage_wait_side_by_side():
    met = asyncio.Barrier(3)

    class Meet:
        async def run(self, sender: Sender) -> Seen:
            await met.wait()  # nobody goes on alone
            return Seen("met")

    plan = plan_of(uses("a") + 'name = "x"\n' + uses("a") + 'name = "y"\n' + uses("a"), a=Meet)
    walker = walked(plan)
    asyncio.run(walker.whole())
    assert sorted(walker.records[0].facts) == ["a", "x", "y"]


def test_filters_that_wait_for_nothing_make_no_tasks():
    class AtHand:
        async def run(self, sender: Sender) -> Seen:
            return Seen("at hand")

    class Waits:
        async def run(self, sender: Sender) -> Seen:
            await asyncio.sleep(0)
            return Seen("waited")

    three = uses("a") + 'name = "x"\n' + uses("a") + 'name = "y"\n' + uses("a")

    async def tasks_made(kind: type) -> int:
        made = []

        def counting(loop, coroutine, **options):
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(counting)
        walker = walked(plan_of(three, a=kind))
        await walker.whole()
        assert sorted(walker.records[0].facts) == ["a", "x", "y"]
        return len(made)

    assert asyncio.run(tasks_made(AtHand)) == 0
    assert asyncio.run(tasks_made(Waits)) == 2  # the first waits where it began


def test_who_asks_for_a_fact_waits_for_a_filter_that_waits():
    class Slow:
        async def run(self, sender: Sender) -> Seen:
            await asyncio.sleep(0)
            return Seen("slow")

    class After:
        async def run(self, seen: Seen) -> Peered:
            return Peered(seen.word)

    walker = walked(plan_of(uses("a", "b"), a=After, b=Slow))
    asyncio.run(walker.whole())
    assert walker.records[0].facts["a"] == Peered("slow")


def test_hanging_filter_leaves_the_answers_of_its_neighbours():
    class Hang:
        async def run(self, sender: Sender) -> Seen:
            await asyncio.Event().wait()
            return Seen()

    class Quick:
        async def run(self, sender: Sender) -> Peered:
            return Peered("here")

    walker = walked(plan_of(uses("q", "h") + 'timeout = "10ms"', q=Quick, h=Hang))
    asyncio.run(walker.whole())
    states = {run.name: run.state for run in walker.records[0].runs}
    assert states == {"q": "ran", "h": "timed-out"}
    assert walker.records[0].facts == {"q": Peered("here")}


def test_deadline_is_one_for_all_stages_of_a_mail():
    class HangAtMail:
        async def run(self, sender: Sender) -> Seen:
            await asyncio.Event().wait()
            return Seen()

    class HangAtBody:
        async def run(self, message: Message) -> Peered:
            await asyncio.Event().wait()
            return Peered()

    text = 'deadline = "20ms"\n' + uses("a", "b") + 'on_error = "defer"'
    walker = walked(plan_of(text, a=HangAtMail, b=HangAtBody))
    verdict = asyncio.run(walker.whole())
    assert verdict.action is Action.DEFER
    first, second = walker.records[0].runs
    assert (first.state, second.state) == ("timed-out", "timed-out")
    assert second.note == "gave no answer within 0 s"


# --- the end comes early


class AtConnect:
    def run(self, peer: Peer) -> Finding[Peered]:
        return Finding(Peered(peer.ip), NO if peer.ip.endswith(".66") else PASS)


class AtHelo:
    def run(self, helo: Helo) -> Finding[Helloed]:
        return Finding(Helloed(helo.name), NO if helo.name == "bad" else PASS)


class AtMail:
    def run(self, sender: Sender) -> Finding[Seen]:
        return Finding(Seen(sender.local), NO if sender.local == "bad" else PASS)


class AtRcpt:
    def run(self, recipient: Recipient) -> Finding[Wanted]:
        advice = {"bad": NO, "late": defer("4.7.1", "Later")}.get(recipient.local, PASS)
        return Finding(Wanted(recipient.local), advice)


class AtHeaders:
    def run(self, headers: Headers) -> Finding:
        return Finding(advice=NO if headers.first(b"X-Bad") else PASS)


class AtBody:
    def run(self, message: Message) -> Finding:
        body = bytes(message.body)
        return Finding(advice=NO if b"bad" in body else DISCARD if b"drop" in body else PASS)


class AtSettle:
    def run(self, verdict: Verdict, message: Message) -> Finding:
        return Finding(advice=NO if b"unsettled" in bytes(message.body) else PASS)


class Keep:
    async def run(self, edited: Edited, store: Store) -> Read:
        await store.keep(edited, 0, 0)
        return Read()


EVERY = {
    "connect": AtConnect,
    "hello": AtHelo,
    "mail": AtMail,
    "rcpt": AtRcpt,
    "head": AtHeaders,
    "body": AtBody,
    "settle": AtSettle,
    "keep": Keep,
}


async def _walk(walker, *, ip="192.0.2.7", helo="mx", sender="a", to=("ann",), raw=b"A: 1\r\n\r\n"):
    """The calls that a front end makes, until the mail ends."""
    if (verdict := await walker.greet(ip, helo)).refuses:
        return verdict
    if (verdict := await walker.begin(f"{sender}@b.example")).refuses:
        return verdict
    verdicts = [await walker.to(f"{each}@example.net") for each in to]
    if all(each.refuses for each in verdicts):
        walker.tx.abort()
        return max(verdicts, key=lambda each: each.action)
    return await walker.content(raw)


ENDS = [
    ("connect", {"ip": "192.0.2.66"}, "reject"),
    ("hello", {"helo": "bad"}, "reject"),
    ("mail", {"sender": "bad"}, "reject"),
    ("rcpt", {"to": ("bad",)}, "reject"),
    ("rcpt", {"to": ("late", "bad")}, "reject"),
    ("head", {"raw": b"X-Bad: 1\r\n\r\n"}, "reject"),
    ("body", {"raw": b"A: 1\r\n\r\nbad"}, "reject"),
    ("body", {"raw": b"A: 1\r\n\r\ndrop"}, "discard"),
    ("settle", {"raw": b"A: 1\r\n\r\nunsettled"}, "reject"),
    ("keep", {}, "pass"),
    ("keep", {"to": ("ann", "bad", "ben")}, "pass"),
]


@pytest.mark.parametrize(("last", "given", "action"), ENDS)
def test_each_end_writes_one_record_and_reaches_no_later_filter(last, given, action):
    walker = walked(plan_of(uses(*EVERY), **EVERY), store=FakeStore())
    verdict = asyncio.run(_walk(walker, **given))
    walker.tx.abort()  # what a front end calls when the connection ends
    assert verdict.action.word == action
    (record,) = walker.records
    assert record.verdict.action.word == action
    states = [run.state for run in record.runs]
    reached = list(EVERY).index(last) + 1
    assert states == ["ran"] * reached + ["not-reached"] * (len(EVERY) - reached)


def test_front_end_that_goes_on_after_a_refusal_writes_no_second_record():
    walker = walked(plan_of(uses(*EVERY), **EVERY))
    message = Message.parse(b"X-Bad: 1\r\n\r\nbad")

    async def go_on():
        await walker.greet()
        await walker.begin()
        await walker.to()
        first = await walker.tx.headers(message.headers)
        return first, await walker.tx.message(message)

    assert all(verdict.refuses for verdict in asyncio.run(go_on()))
    assert len(walker.records) == 1


def test_archive_that_cannot_keep_defers_and_is_recorded_once():
    walker = walked(plan_of(uses(*EVERY), **EVERY), store=FakeStore(OSError("disk full")))
    verdict = asyncio.run(_walk(walker))
    (record,) = walker.records
    assert verdict.action is record.verdict.action is Action.DEFER
    assert record.edits == ()
    assert (record.runs[-1].state, record.runs[-1].note) == ("failed", "OSError: disk full")


def test_mail_that_is_given_up_before_any_refusal_leaves_no_record():
    walker = walked(plan_of(uses(*EVERY), **EVERY))

    async def give_up():
        await walker.greet()
        walker.tx.abort()
        await walker.begin()
        walker.tx.abort()
        await walker.begin()
        await walker.to("ann@example.net")
        await walker.to("bad@example.net")
        walker.tx.abort()

    asyncio.run(give_up())
    assert walker.records == []


def test_given_up_mail_of_refused_recipients_names_them_all():
    walker = walked(plan_of(uses("rcpt"), rcpt=AtRcpt))
    asyncio.run(_walk(walker, to=("late", "bad")))
    (record,) = walker.records
    told = [(str(r.recipient), r.verdict.action) for r in record.recipients]
    assert told == [("late@example.net", Action.DEFER), ("bad@example.net", Action.REJECT)]
    assert str(record.sender) == "a@b.example"


def test_refused_peer_is_recorded_with_the_visit_and_no_sender():
    walker = walked(plan_of(uses("connect"), connect=AtConnect))
    asyncio.run(walker.greet("192.0.2.66"))
    (record,) = walker.records
    assert (record.sender, record.recipients, record.size) == (None, (), 0)
    assert record.session.peer.ip == "192.0.2.66"
    assert record.time == walker.clock.now()
    assert record.id == record.session.id


def test_calls_out_of_order_are_a_bug_of_the_front_end():
    walker = walked(plan_of(""))
    with pytest.raises(Bug, match="no mail has begun"):
        asyncio.run(walker.to())
    asyncio.run(walker.begin())
    walker.tx.abort()
    with pytest.raises(Bug, match="no mail has begun"):
        asyncio.run(walker.content())


# --- scopes


class Remember:
    """How much of its own scope does a filter see?"""

    def run(self, sender: Sender, peered: Peered | None, helloed: Helloed | None) -> Seen:
        return Seen(f"{peered.word if peered else ''} {helloed.word if helloed else ''}")


class ReadsWanted:
    def run(self, recipient: Recipient, wanted: tuple[Wanted, ...]) -> Read:
        return Read(tuple(each.word for each in wanted))


def test_facts_of_the_visit_live_on_and_those_of_a_mail_end_with_it():
    class AskOnce:
        count = 0

        def run(self, peer: Peer) -> Peered:
            AskOnce.count += 1
            return Peered("known")

    class SeenOnFirst:
        def run(self, sender: Sender) -> Finding[Seen]:
            return Finding(Seen("first") if sender.local == "first" else None)

    text = uses("once", "seen", "rest")
    walker = walked(plan_of(text, once=AskOnce, seen=SeenOnFirst, rest=Remember))

    async def two_mails():
        await walker.greet()
        for sender in ("first@b.example", "second@b.example"):
            await walker.begin(sender)
            await walker.to()
            await walker.content()

    asyncio.run(two_mails())
    first, second = walker.records
    assert AskOnce.count == 1
    assert first.facts["once"] == second.facts["once"] == Peered("known")
    assert first.facts["seen"] == Seen("first")
    assert "seen" not in second.facts
    assert first.id != second.id


def test_second_helo_forgets_what_the_first_one_brought():
    walker = walked(
        plan_of(uses("connect", "hello", "rest"), connect=AtConnect, hello=AtHelo, rest=Remember)
    )

    async def greet_twice():
        await walker.greet(helo="one")
        await walker.tx.helo(Helo("two"))
        await walker.begin()
        await walker.to()
        await walker.content()

    asyncio.run(greet_twice())
    assert walker.records[0].facts["rest"] == Seen("192.0.2.7 two")


def test_refused_helo_does_not_stick_to_the_next_one():
    walker = walked(plan_of(uses("hello"), hello=AtHelo))

    async def greet_twice():
        refused = await walker.greet(helo="bad")
        return refused, await walker.tx.helo(Helo("good")), await walker.begin()

    refused, greeted, begun = asyncio.run(greet_twice())
    assert refused.refuses
    assert not greeted.refuses
    assert not begun.refuses


def test_refused_recipient_takes_its_facts_with_it():
    class Count:
        def run(self, message: Message, envelope: Envelope) -> Seen:
            return Seen(",".join(str(each) for each in envelope.recipients))

    walker = walked(plan_of(uses("rcpt", "all", "body"), rcpt=AtRcpt, all=ReadsWanted, body=Count))
    verdict = asyncio.run(_walk(walker, to=("ann", "bad", "ben")))
    (record,) = walker.records
    assert not verdict.refuses
    assert record.facts["body"] == Seen("ann@example.net,ben@example.net")
    own = {str(each.recipient): each.facts["all"].words for each in record.recipients}
    assert own == {
        "ann@example.net": ("ann",),
        "bad@example.net": ("bad",),
        "ben@example.net": ("ben",),
    }
    assert walker.tx.recipients == (
        Recipient(Address("ann", "example.net")),
        Recipient(Address("ben", "example.net")),
    )


def test_refusal_of_one_recipient_is_not_of_the_next():
    walker = walked(plan_of(uses("rcpt"), rcpt=AtRcpt))

    async def three():
        await walker.begin()
        return [
            (await walker.to(f"{who}@example.net")).action.word for who in ("bad", "ann", "late")
        ]

    assert asyncio.run(three()) == ["reject", "pass", "defer"]


def test_recipient_filter_that_fails_is_in_the_record():
    class Crash:
        def run(self, recipient: Recipient) -> Wanted:
            raise AssertionError("no")

    walker = walked(plan_of(uses("it"), it=Crash))
    asyncio.run(walker.whole())
    assert walker.records[0].runs[0].state == "failed"


def test_tls_and_login_are_of_the_mail():
    class Who:
        def run(self, sender: Sender, login: Login | None, tls: Tls | None) -> Seen:
            return Seen(f"{login.user if login else '-'} {tls.version if tls else '-'}")

    walker = walked(plan_of(uses("who"), who=Who))

    async def two_mails():
        await walker.begin(login=Login("ann"), tls=Tls("TLSv1.3", "x"))
        await walker.to()
        await walker.content()
        await walker.begin()
        await walker.to()
        await walker.content()

    asyncio.run(two_mails())
    assert [each.facts["who"].word for each in walker.records] == ["ann TLSv1.3", "- -"]
    assert walker.records[0].session.login == Login("ann")


# --- reload


class OnOldPlan:
    def run(self, peer: Peer, helo: Helo) -> Helloed:
        return Helloed("old")


class OnNewPlan:
    def run(self, peer: Peer, helo: Helo) -> Helloed:
        return Helloed(f"new {peer.ip} {helo.name}")


class SaysHelloed:
    def run(self, message: Message, helloed: Helloed) -> Seen:
        return Seen(helloed.word)


def reloading():
    old = plan_of(uses("hi", "say"), hi=OnOldPlan, say=SaysHelloed)
    new = plan_of('title = "new"\n' + uses("hi", "say"), hi=OnNewPlan, say=SaysHelloed)
    return walked(old), old, new


def test_mail_under_way_ends_on_the_plan_that_it_began_with():
    walker, old, new = reloading()

    async def reload_in_mail():
        await walker.greet()
        await walker.begin()
        walker.serving.plan = new
        await walker.to()
        await walker.content()

    asyncio.run(reload_in_mail())
    assert walker.records[0].revision == old.revision
    assert walker.records[0].facts["say"] == Seen("old")


def test_next_mail_of_the_connection_is_measured_anew_on_the_new_plan():
    walker, _, new = reloading()

    async def reload_between():
        await walker.whole()
        walker.serving.plan = new
        await walker.begin()
        await walker.to()
        await walker.content()

    asyncio.run(reload_between())
    assert walker.tx.plan is new
    assert walker.records[1].revision == new.revision
    assert walker.records[1].facts["say"] == Seen("new 192.0.2.7 mx.example")


def test_new_plan_that_refuses_the_peer_refuses_the_mail_in_one_record():
    walker = walked(plan_of(""))

    async def reload_between():
        await walker.greet("192.0.2.66")
        walker.serving.plan = plan_of(uses("connect", "hello"), connect=AtConnect, hello=AtHelo)
        return await walker.begin()

    verdict = asyncio.run(reload_between())
    assert verdict.refuses
    (record,) = walker.records
    assert str(record.sender) == "a@b.example"


def test_new_plan_finds_the_ports_that_it_asks_for():
    class AskStore:
        def run(self, peer: Peer, store: Store) -> Seen:
            return Seen(type(store).__name__)

    walker = walked(plan_of(""))

    async def reload_between():
        await walker.greet()
        walker.serving.ports = lambda: {"store": FakeStore()}
        walker.serving.plan = plan_of(uses("it"), it=AskStore)
        await walker.begin()
        await walker.to()
        await walker.content()

    asyncio.run(reload_between())
    assert walker.records[0].facts["it"] == Seen("FakeStore")


# --- edits and what was kept


class AddAtBody:
    def run(self, message: Message) -> Finding:
        return Finding(edits=(AddHeader("X-Body", "1"),))


class AddAtMail:
    def run(self, sender: Sender) -> Finding:
        return Finding(edits=(AddHeader("X-Mail", "1"),))


class AddAtSettle:
    def run(self, verdict: Verdict) -> Finding:
        return Finding(edits=(AddHeader("X-Settle", verdict.action.word),))


def test_edits_apply_in_the_order_of_the_file():
    store = FakeStore()
    filters = {"settle": AddAtSettle, "body": AddAtBody, "keep": Keep, "mail": AddAtMail}
    walker = walked(plan_of(uses(*filters), **filters), store=store)
    asyncio.run(walker.whole())
    names = ["X-Settle", "X-Body", "X-Mail"]
    assert [edit.name for edit in walker.tx.edits] == names
    kept = store.kept[0][0].message
    assert [each.name.decode() for each in kept.headers][1:] == names
    assert walker.records[0].edits == walker.tx.edits


def test_what_a_late_filter_adds_is_seen_by_the_next_one_and_goes_out():
    class Seal:
        def run(self, edited: Edited) -> Finding:
            return Finding(edits=(AddHeader("X-Seal", str(len(edited.message.headers))),))

    store = FakeStore()
    filters = {"body": AddAtBody, "seal": Seal, "keep": Keep}
    walker = walked(plan_of(uses(*filters), **filters), store=store)
    asyncio.run(walker.whole())
    assert [edit.name for edit in walker.tx.edits] == ["X-Body", "X-Seal"]
    kept = store.kept[0][0].message.headers
    assert [each.name for each in kept][1:] == [b"X-Body", b"X-Seal"]
    assert kept.first(b"X-Seal") == b" 2"
    assert walker.records[0].edits == walker.tx.edits


def test_edits_of_taken_recipients_count_and_those_of_refused_ones_do_not():
    class Redirect:
        def run(self, recipient: Recipient) -> Finding[Wanted]:
            note = AddHeader("X-List", recipient.domain)
            advice = NO if recipient.local == "bad" else PASS
            return Finding(Wanted(), advice, (RemoveRecipient(recipient.address), note))

    walker = walked(plan_of(uses("it"), it=Redirect))
    asyncio.run(_walk(walker, to=("ann", "bad", "ben")))
    assert walker.tx.edits == (
        RemoveRecipient(Address("ann", "example.net")),
        AddHeader("X-List", "example.net"),
        RemoveRecipient(Address("ben", "example.net")),
    )


@pytest.mark.parametrize("raw", [b"A: 1\r\n\r\nbad", b"A: 1\r\n\r\nunsettled", b"X-Bad: 1\r\n\r\n"])
def test_only_mail_that_we_take_is_kept(raw):
    store = FakeStore()
    walker = walked(plan_of(uses(*EVERY), **EVERY), store=store)
    asyncio.run(_walk(walker, raw=raw))
    assert store.kept == []
    asyncio.run(_walk(walker))
    assert len(store.kept) == 1


def test_held_mail_is_taken_and_kept():
    class Hold:
        def run(self, message: Message) -> Finding:
            return Finding(advice=QUARANTINE)

    store = FakeStore()
    walker = walked(plan_of(uses("hold", "keep"), hold=Hold, keep=Keep), store=store)
    assert asyncio.run(walker.whole()).action is Action.QUARANTINE
    assert len(store.kept) == 1


# --- scores and rules on the way

SCORED = """
[[weight]]
name = "early"
add  = 0.1
when = "mail"

[[weight]]
name = "late"
add  = "0.2 * 1"
when = "message"
why  = "the body is here"

[[weight]]
name = "nothing"
add  = "0 * 5"

[[rule]]
name = "sum"
when = "score == 0.3"
then = "quarantine"

[[rule]]
name = "early-sum"
when = "score > 0.1 and peer"
then = "tag"
"""


def test_score_is_the_exact_sum_of_terms_of_all_stages():
    walker = walked(plan_of(uses("mail"), SCORED, mail=AtMail))
    verdict = asyncio.run(walker.whole())
    (record,) = walker.records
    assert [(term.name, term.add) for term in record.terms] == [("early", 0.1), ("late", 0.2)]
    assert record.total == 0.3
    assert (verdict.action, verdict.because.rule) == (Action.QUARANTINE, "sum")
    assert verdict.because.place == "law.toml:17"


def test_verdict_that_filters_see_carries_the_score():
    class Say:
        def run(self, verdict: Verdict) -> Seen:
            return Seen(f"{verdict.action.word} {verdict.score}")

    walker = walked(plan_of(uses("mail", "say"), SCORED, mail=AtMail, say=Say))
    asyncio.run(walker.whole())
    assert walker.records[0].facts["say"] == Seen("quarantine 0.3")


def test_early_rule_silences_later_ones():
    policy = (
        '[[rule]]\nname = "late"\nwhen = "message"\nthen = "reject"\n'
        '[[rule]]\nname = "early"\nwhen = "peer"\nthen = "tag"\n'
    )
    walker = walked(plan_of("", policy))
    verdict = asyncio.run(walker.whole())
    assert (verdict.action, verdict.because.rule) == (Action.TAG, "early")


def test_rule_about_recipients_is_judged_for_each():
    policy = (
        '[[rule]]\nname = "gone"\nwhen = "recipient.local == \'gone\'"\nthen = "reject"\n'
        'reply = "550 5.1.1 {recipient.local} is gone"\n'
    )
    walker = walked(plan_of("", policy))

    async def two():
        await walker.begin()
        return [str((await walker.to(f"{who}@example.net")).reply) for who in ("gone", "ann")]

    assert asyncio.run(two()) == ["550 5.1.1 gone is gone", "None"]


def test_ids_sort_by_time_and_never_repeat():
    clock = ManualClock()
    first, second = new_id(clock.now()), new_id(clock.now())
    clock.move(1)
    assert first < second < new_id(clock.now())
    assert first == first.upper()
