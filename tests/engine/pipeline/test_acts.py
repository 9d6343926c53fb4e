"""What rules do beside deciding: it is in the mail, in the record, and of its own recipient."""

import asyncio

from fakes import FakeStore, Walker, plan_of, uses

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, AddRecipient, Edited, RemoveRecipient
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.verdict import Action
from millrace.engine.ports import Store

ANN, BEN, TEAM = (Address(name, "example.net") for name in ("ann", "ben", "team"))
BOTH = ("ann@example.net", "ben@example.net")


def rule(name: str, when: str, **keys: str) -> str:
    lines = [f'name = "{name}"', f'when = "{when}"', *(f"{k} = {v}" for k, v in keys.items())]
    return "[[rule]]\n" + "\n".join(lines) + "\n"


def walked(policy: str, *recipients: str) -> Walker:
    walker = Walker(plan_of("", policy))
    asyncio.run(walker.whole(*recipients))
    return walker


MARKS = (
    rule("peer", "peer", stop="false", then='"tag"', why='"known"')
    + rule("author", "from.domain == 'b.example'", stop="false",
           add_header='{ X-From = "{from.domain}" }')
    + rule("body", "message", then='"pass"', add_header='{ X-Size = "{message.size}" }')
)  # fmt: skip


def test_marks_and_headers_of_all_rules_are_in_mail_and_record():
    walker = walked(MARKS)
    (record,) = walker.records
    assert (record.verdict.action, record.verdict.because.rule) == (Action.TAG, "peer")
    told = [(act["rule"], act["action"], act["why"]) for act in record.as_data()["acts"]]
    assert told == [("peer", "tag", "known"), ("author", "pass", ""), ("body", "pass", "")]
    assert walker.tx.edits == (AddHeader("X-From", "b.example"), AddHeader("X-Size", "28"))
    assert record.edits == walker.tx.edits


def test_rule_that_does_not_stop_is_silent_once_another_decided():
    policy = rule("trusted", "peer", then='"pass"') + rule("late", "message", stop="false",
                                                           then='"tag"')  # fmt: skip
    (record,) = walked(policy).records
    assert (record.verdict.action, record.acts) == (Action.PASS, ())


def test_mark_of_one_visit_is_on_each_of_its_mails():
    walker = Walker(plan_of("", rule("peer", "peer", stop="false", then='"tag"')))

    async def two_mails() -> None:
        await walker.greet()
        for _ in range(2):
            await walker.begin()
            await walker.to()
            await walker.content()

    asyncio.run(two_mails())
    assert [len(record.acts) for record in walker.records] == [1, 1]
    assert [record.verdict.action for record in walker.records] == [Action.TAG] * 2


def test_redirected_mail_has_one_recipient():
    walker = walked(rule("r", "message", then='"tag"', redirect='"team@example.net"'), *BOTH)
    assert walker.tx.edits == (AddRecipient(TEAM), RemoveRecipient(ANN), RemoveRecipient(BEN))
    (record,) = walker.records
    assert record.as_data()["acts"][0]["redirect"] == "team@example.net"


def test_what_a_filter_added_is_redirected_too():
    class AddBen:
        def run(self, envelope: Envelope) -> Finding:
            return Finding(edits=(AddRecipient(BEN),))

    policy = rule("r", "message", then='"pass"', redirect='"team@example.net"')
    walker = Walker(plan_of(uses("add"), policy, add=AddBen))
    asyncio.run(walker.whole())
    assert walker.tx.edits[1:] == (
        AddRecipient(TEAM),
        RemoveRecipient(ANN),
        RemoveRecipient(BEN),
    )


OWN = rule(
    "ann", "recipient.local == 'ann'", then='"pass"', redirect='"team@example.net"',
    add_header='{ X-For = "{recipient.local}" }',
)  # fmt: skip


def test_rule_about_one_recipient_redirects_that_one_alone():
    walker = walked(OWN, *BOTH)
    assert walker.tx.edits == (
        AddHeader("X-For", "ann"),
        AddRecipient(TEAM),
        RemoveRecipient(ANN),
    )
    (record,) = walker.records
    assert record.acts == ()
    assert [len(each.acts) for each in record.recipients] == [1, 0]
    told = record.as_data()["recipients"][0]["acts"]
    assert (told[0]["rule"], told[0]["headers"][0]["value"]) == ("ann", "ann")


def test_recipient_that_is_refused_leaves_no_edit():
    policy = rule("mark", "recipient", stop="false", add_header='{ X-A = "{recipient.local}" }')
    policy += rule("no", "recipient.local == 'ann'", then='"reject"')
    walker = walked(policy, "ben@example.net", "ann@example.net")
    walker = Walker(plan_of("", policy))

    async def go() -> None:
        await walker.greet()
        await walker.begin()
        await walker.to("ann@example.net")
        await walker.to("ben@example.net")
        await walker.content()

    asyncio.run(go())
    assert walker.tx.edits == (AddHeader("X-A", "ben"),)
    (record,) = walker.records
    assert [each.verdict.action for each in record.recipients] == [Action.REJECT, Action.PASS]


def test_archive_sees_what_rules_changed():
    class Keep:
        async def run(self, edited: Edited, store: Store) -> Fact:
            await store.keep(edited, 0, 0)
            return Fact()

    store = FakeStore()
    policy = rule("r", "message", then='"pass"', redirect='"team@example.net"',
                  add_header='{ X-A = "b" }')  # fmt: skip
    walker = Walker(plan_of(uses("keep"), policy, keep=Keep), store=store)
    asyncio.run(walker.whole())
    ((kept, _, _),) = store.kept
    assert [str(each) for each in kept.envelope.recipients] == ["team@example.net"]
    assert kept.message.headers.first(b"X-A") == b" b"


def test_expired_rule_lets_mail_pass():
    policy = rule("r", "peer", then='"reject"', expires="2026-01-01")
    policy += rule("s", "peer", then='"tag"', expires="2027-12-31")
    (record,) = walked(policy).records
    assert record.verdict.because.rule == "s"


def test_mta_waits_for_no_rule_that_cannot_decide():
    plan = plan_of("", rule("r", "peer", stop="false", then='"tag"'))
    assert not any(step.answers for step in plan.steps)


def test_a_reply_may_cite_a_header_field_which_cannot_break_the_line():
    policy = rule("list", "matches(headers.subject, '^=')", then='"reject"',
                  reply="\"550 5.7.1 no {headers.subject} of {header('List-Id')}\"")  # fmt: skip
    walker = Walker(plan_of("", policy))

    async def mail() -> None:
        await walker.greet()
        await walker.begin()
        await walker.to()
        await walker.content(b"Subject: =?utf-8?q?=3D=0D=0A250?=\r\n\r\nhello\r\n")

    asyncio.run(mail())
    (record,) = walker.records
    assert str(record.verdict.reply) == "550 5.7.1 no =??250 of unknown"
    assert record.verdict.because.stage == "HEADERS"
