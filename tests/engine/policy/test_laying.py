"""Overlays at work: whose version of a rule decides, at which stage, for whom."""

import asyncio

import pytest
from fakes import Walker

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.plan import Plan

ACME = 'for = { recipient = "acme.example" }\n'


def rule(name: str, when: str, then: str) -> str:
    return f'[[rule]]\nname = "{name}"\nwhen = "{when}"\nthen = "{then}"\n'


def plan(policy: str, **overlays: str) -> Plan:
    read = spec.load(Document("", "line.toml"), "line", {}.__getitem__)
    documents = {name: Document(text, f"{name}.toml") for name, text in sorted(overlays.items())}
    return compile_plan(read, Document(policy, "law.toml"), "law", {}, documents)


def to(*addresses: str) -> list[Recipient]:
    return [Recipient(Address.parse(address)) for address in addresses]


def walked(made: Plan, *addresses: str, login: str = "", ip: str = "192.0.2.1"):
    """(each recipient's verdict by word, the mail's, and where the rule stands)."""

    async def go():
        tx = Walker(made).tx
        await tx.connect(Peer(ip))
        await tx.helo(Helo("mx.b.example"))
        await tx.mail(Sender(Address("a", "b.example")), login=Login(login) if login else None)
        each = [await tx.rcpt(recipient) for recipient in to(*addresses)]
        whole = await tx.message(Message.parse(b"From: a@b.example\r\n\r\nx\r\n"))
        because = whole.because.place if whole.because else ""
        return [verdict.action.word for verdict in each], whole.action.word, because

    return asyncio.run(go())


REFUSE = rule("r", "helo.name == 'mx.b.example'", "reject")
DEFER = ACME + rule("r", "helo.name == 'mx.b.example'", "defer")


def test_rule_of_the_envelope_is_judged_for_each_recipient_by_that_one_s_overlay():
    each, _, _ = walked(plan(REFUSE, acme=DEFER), "x@acme.example", "y@other.example")
    assert each == ["defer", "reject"]


def test_dropped_rule_counts_for_all_others():
    each, whole, _ = walked(plan(REFUSE, acme=ACME + 'drop = ["r"]\n'), "x@acme.example", "y@b.c")
    assert (each, whole) == (["pass", "reject"], "pass")


LATE = rule("r", "message.size > 1", "reject")
MILD = ACME + rule("r", "message.size > 1", "tag")


@pytest.mark.parametrize(
    ("addresses", "action", "place"),
    [
        (("x@acme.example", "y@acme.example"), "tag", "acme.toml:2"),
        (("x@acme.example", "y@other.example"), "reject", "law.toml:1"),
        (("y@other.example",), "reject", "law.toml:1"),
    ],
)
def test_rule_of_the_whole_mail_is_the_overlay_s_when_all_recipients_are_in_it(
    addresses, action, place
):
    assert walked(plan(LATE, acme=MILD), *addresses) == (
        ["pass"] * len(addresses),
        action,
        place,
    )


def test_version_that_marks_the_mail_brings_all_versions_to_the_whole_mail():
    made = plan(REFUSE, acme=ACME + rule("r", "helo.name == 'mx.b.example'", "tag"))
    assert {(each.stage, each.recipient) for each in made.policy.rules} == {(Stage.HEADERS, False)}
    assert walked(made, "x@acme.example")[1:] == ("tag", "acme.toml:2")
    assert walked(made, "x@acme.example", "y@other.example")[1:] == ("reject", "law.toml:1")


def test_whoever_is_let_pass_at_rcpt_is_let_pass_by_what_is_judged_later():
    known, spam = rule("known", "helo.name == 'mx.b.example'", "pass"), LATE
    made = plan(known + spam, acme=ACME + 'drop = ["known"]\n')
    assert walked(made, "y@other.example")[1] == "pass"
    assert walked(made, "x@acme.example")[1] == "reject"


def test_overlay_of_a_login_waits_for_who_is_logged_in():
    over = 'for = { login = "@acme.example" }\ndrop = ["r"]\n'
    made = plan(rule("r", "peer.ip == '192.0.2.1'", "reject"), staff=over)
    assert [each.stage for each in made.policy.rules] == [Stage.MAIL]
    assert walked(made, "x@b.c", login="ann@acme.example")[1] == "pass"


def test_overlay_of_a_listener_counts_at_that_door_alone():
    over = 'for = { listener = "test" }\ndrop = ["r"]\n'
    other = over.replace("test", "elsewhere")
    assert walked(plan(LATE, door=over), "x@b.c")[1] == "pass"
    assert walked(plan(LATE, door=other), "x@b.c")[1] == "reject"


def test_of_two_overlays_that_fit_the_first_by_name_counts():
    wide = 'for = { recipient = ".example" }\n' + rule("r", "message.size > 1", "quarantine")
    assert walked(plan(LATE, a=MILD, b=wide), "x@acme.example")[1:] == ("tag", "a.toml:2")
    assert walked(plan(LATE, z=MILD, b=wide), "x@acme.example")[1:] == ("quarantine", "b.toml:2")
    assert walked(plan(LATE, z=MILD, b=wide), "x@c.example")[1:] == ("quarantine", "b.toml:2")


def test_versions_of_one_recipient_and_of_the_whole_mail_cannot_stand_together():
    own = rule("r", "recipient.domain == 'acme.example'", "reject")
    with pytest.raises(Misconfigured) as caught:
        plan(own, acme=MILD)
    assert str(caught.value) == (
        'law.toml:1:1  "r" is judged for each recipient here, for the whole mail there\n'
        "    The other version (acme.toml:2) is of the whole mail."
    )


def test_rules_that_no_overlay_changes_stay_as_they_are():
    alone = plan(REFUSE + rule("other", "peer.ip == '192.0.2.9'", "reject"), acme=DEFER)
    (kept,) = [each for each in alone.policy.rules if each.name == "other"]
    assert (kept.stage, kept.recipient) == (Stage.CONNECT, False)


def test_mta_is_asked_for_recipients_when_an_overlay_looks_at_them():
    assert not plan(LATE).wants("recipient")
    assert plan(LATE, acme=MILD).wants("recipient")


def test_overlay_is_part_of_the_revision():
    assert plan(LATE).revision != plan(LATE, acme=MILD).revision
    assert plan(LATE, acme=MILD).revision != plan(LATE, acme=MILD + "# more\n").revision


def test_rule_that_this_pipeline_never_judges_keeps_its_place():
    unmeasured = rule("r", "score >= 7", "quarantine") + rule("s", "score >= 5", "tag")
    made = plan(unmeasured, acme=ACME + rule("r", "score >= 12", "tag"))
    assert len({(each.stage, each.live) for each in made.policy.rules}) == 1


def test_when_an_overlay_s_rule_has_expired_the_policy_s_own_counts_again():
    mild = ACME + rule("r", "helo.name == 'mx.b.example'", "defer") + "expires = 2020-01-31\n"
    other = 'for = { recipient = ".example" }\n' + rule("r", "helo", "pass")
    assert walked(plan(REFUSE, acme=mild), "x@acme.example")[0] == ["reject"]
    assert walked(plan(REFUSE, acme=mild, b=other), "x@acme.example")[0] == ["pass"]
    lasting = mild.replace("2020", "9999")
    assert walked(plan(REFUSE, acme=lasting, b=other), "x@acme.example")[0] == ["defer"]
