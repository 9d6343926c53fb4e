"""Edges, stages and scopes are read from the signatures; what does not fit is refused."""

from dataclasses import dataclass
from typing import Literal

import pytest
from fakes import plan_of, uses
from listed import lists

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Verdict
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.plan import Gathered, Given, Plan, Scope
from millrace.engine.ports import Dns


@dataclass(frozen=True, slots=True)
class Listed(Fact):
    on: bool = True


@dataclass(frozen=True, slots=True)
class Named(Fact):
    result: Literal["good", "bad"] = "good"


@dataclass(frozen=True, slots=True)
class Wanted(Fact):
    count: int = 0


class AskPeer:
    def run(self, peer: Peer, dns: Dns) -> Listed:
        return Listed()


class AskHelo:
    def run(self, peer: Peer, helo: Helo | None) -> Named:
        return Named()


class AskSender:
    def run(self, sender: Sender) -> Listed:
        return Listed()


class AskRecipient:
    def run(self, recipient: Recipient, peer: Peer) -> Wanted:
        return Wanted()


class AskHeaders:
    def run(self, headers: Headers) -> Listed:
        return Listed()


class AskAuthor:
    def run(self, author: Author) -> Listed:
        return Listed()


class AskMessage:
    def run(self, message: Message) -> Listed:
        return Listed()


class AskVerdict:
    def run(self, verdict: Verdict) -> Finding:
        return Finding()


class AskEdited:
    def run(self, edited: Edited) -> Wanted:
        return Wanted()


class AskNothing:
    def run(self) -> Listed:
        return Listed()


class NeedListed:
    def run(self, listed: Listed) -> Named:
        return Named()


class NeedNamed:
    def run(self, named: Named) -> Listed:
        return Listed()


class MayHaveListed:
    def run(self, peer: Peer, listed: Listed | None) -> Named:
        return Named()


class AllListed:
    def run(self, lists: tuple[Listed, ...]) -> Named:
        return Named()


class AllListedToo:
    def run(self, lists: tuple[Listed, ...], message: Message) -> Listed:
        return Listed()


class NeedWanted:
    def run(self, wanted: Wanted) -> Named:
        return Named()


class NeedWantedAtBody:
    def run(self, wanted: Wanted, message: Message) -> Named:
        return Named()


class AfterKeeping:
    def run(self, wanted: Wanted, verdict: Verdict) -> Named:
        return Named()


def node(plan: Plan, name: str):
    return next(each for each in plan.nodes if each.name == name)


@pytest.mark.parametrize(
    ("cls", "stage", "scope"),
    [
        (AskNothing, Stage.CONNECT, Scope.VISIT),
        (AskPeer, Stage.CONNECT, Scope.VISIT),
        (AskHelo, Stage.HELO, Scope.VISIT),
        (AskSender, Stage.MAIL, Scope.MAIL),
        (AskRecipient, Stage.RCPT, Scope.RECIPIENT),
        (AskHeaders, Stage.HEADERS, Scope.MAIL),
        (AskAuthor, Stage.HEADERS, Scope.MAIL),
        (AskMessage, Stage.BODY, Scope.MAIL),
        (AskVerdict, Stage.SETTLED, Scope.MAIL),
        (AskEdited, Stage.SETTLED, Scope.MAIL),
    ],
)
def test_last_ask_fixes_the_stage_and_the_scope(cls, stage, scope):
    found = node(plan_of(uses("it"), it=cls), "it")
    assert (found.stage, found.scope, found.label) == (stage, scope, stage.name)


def test_filter_comes_after_whoever_gives_what_it_asks_for():
    plan = plan_of(uses("later", "first"), later=NeedListed, first=AskMessage)
    later = node(plan, "later")
    assert later.stage is Stage.BODY
    assert later.after == {"first"}
    assert [each.name for each in plan.steps[Stage.BODY].nodes] == ["first", "later"]


def test_giver_of_an_earlier_stage_is_no_predecessor_in_this_one():
    plan = plan_of(uses("late", "early"), early=AskPeer, late=AllListedToo)
    assert node(plan, "late").after == frozenset()
    assert node(plan, "late").asked >= {"early", "message"}


def test_soft_ask_waits_for_its_giver_if_there_is_one():
    alone = node(plan_of(uses("soft"), soft=MayHaveListed), "soft")
    assert alone.givens == (Given("peer", "peer", True), Given("listed", "", False))
    both = node(plan_of(uses("soft", "giver"), soft=MayHaveListed, giver=AskMessage), "soft")
    assert both.givens[1] == Given("listed", "giver", False)
    assert (both.stage, both.after) == (Stage.BODY, {"giver"})


def test_ask_for_many_takes_every_giver():
    plan = plan_of(uses("one", "all", "two"), one=AskPeer, two=AskSender, all=AllListed)
    found = node(plan, "all")
    assert found.gathered == (Gathered("lists", ("one", "two")),)
    assert found.stage is Stage.MAIL


def test_ask_for_many_is_content_with_none():
    assert node(plan_of(uses("all"), all=AllListed), "all").stage is Stage.CONNECT


def test_fact_named_in_when_is_an_edge_like_an_ask():
    text = '[[filter]]\nuse = "it"\nwhen = "not other.on"\n[[filter]]\nuse = "other"\n'
    plan = plan_of(text, it=AskPeer, other=AskHeaders)
    assert node(plan, "it").stage is Stage.HEADERS
    assert node(plan, "it").after == {"other"}


def test_source_named_in_when_fixes_the_stage():
    text = '[[filter]]\nuse = "it"\nwhen = "not login"\n'
    assert node(plan_of(text, it=AskPeer), "it").stage is Stage.MAIL


def test_recipient_named_in_when_makes_the_filter_run_for_each():
    text = '[[filter]]\nuse = "it"\nwhen = "recipient.domain == \'example.net\'"\n'
    assert node(plan_of(text, it=AskPeer), "it").scope is Scope.RECIPIENT


def test_fact_of_a_recipient_makes_its_reader_one_of_the_recipient():
    plan = plan_of(uses("give", "read"), give=AskRecipient, read=NeedWanted)
    assert node(plan, "read").scope is Scope.RECIPIENT
    assert [each.name for each in plan.recipient.nodes] == ["give", "read"]
    assert not plan.steps[Stage.RCPT]


def test_filter_that_gives_the_same_fact_reads_the_other_one():
    class Override:
        def run(self, before: Listed | None) -> Listed:
            return Listed()

    plan = plan_of(uses("mine", "theirs"), mine=Override, theirs=AskPeer)
    assert node(plan, "mine").givens == (Given("before", "theirs", False),)


def test_what_asks_for_edited_is_late_and_so_is_who_reads_it():
    plan = plan_of(uses("keep", "after", "say"), keep=AskEdited, after=AfterKeeping, say=AskVerdict)
    step = plan.steps[Stage.SETTLED]
    assert [each.name for each in step.nodes] == ["say"]
    assert [each.name for each in step.late] == ["keep", "after"]


def test_ports_are_bound_by_the_name_of_the_parameter():
    assert node(plan_of(uses("it"), it=AskPeer), "it").ports == (("dns", "dns"),)


def refused(pipeline: str, **filters: type) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        plan_of(pipeline, **filters)
    return [str(fault) for fault in caught.value.faults]


def test_missing_giver_is_told_with_the_exact_sentence():
    assert refused('title = "x"\n' + uses("it"), it=NeedListed) == [
        "line.toml:2:1  it asks for Listed; no filter in this pipeline gives it\n    Remove it."
    ]


def test_missing_giver_from_the_shelf_is_named_in_the_hint():
    from millrace.filters.dmarc import AlignDmarc

    found = refused(uses("dmarc"), dmarc=AlignDmarc)
    assert found == [
        "line.toml:1:1  dmarc asks for Spf; no filter in this pipeline gives it\n"
        '    Add   [[filter]] use = "spf"   or remove dmarc.',
        "line.toml:1:1  dmarc asks for Dkim; no filter in this pipeline gives it\n"
        '    Add   [[filter]] use = "dkim"   or remove dmarc.',
    ]


def test_two_givers_of_one_fact_are_ambiguous():
    assert refused(uses("a", "b", "it"), a=AskPeer, b=AskSender, it=NeedListed) == [
        "line.toml:5:1  it asks for one Listed\n"
        "    a and b give it; the filter must ask for all of them."
    ]


def test_filters_that_wait_for_each_other_are_refused():
    (found,) = refused(uses("a", "b"), a=NeedListed, b=NeedNamed)
    assert found.startswith("line.toml  filters wait for each other: ")
    assert sorted(set(found.split(": ")[1].split(" → "))) == ["a", "b"]


def test_fact_of_one_recipient_cannot_be_asked_for_the_whole_mail():
    assert refused(uses("give", "it"), give=AskRecipient, it=NeedWantedAtBody) == [
        "line.toml:3:1  it runs once a mail, but 'give' differs between recipients\n"
        "    Ask for envelope, or measure at RCPT."
    ]


def test_misfit_in_when_points_into_the_condition():
    text = '[[filter]]\nuse = "it"\nwhen = "other.result == \'god\'"\n' + uses("other")
    (found,) = refused(text, it=AskPeer, other=AskHelo)
    assert found.splitlines() == [
        "line.toml:3:25  other.result can never be 'god'",
        "    when = \"other.result == 'god'\"",
        "                            ^^^^^",
        "    one of: bad good",
        "    did you mean 'good'?",
    ]


def test_when_must_be_a_condition_and_no_mere_value():
    text = '[[filter]]\nuse = "it"\nwhen = "other.result"\n' + uses("other")
    (found,) = refused(text, it=AskPeer, other=AskHelo)
    assert "line.toml:3:9  is choice, not a condition" in found


def test_filter_cannot_bear_the_name_of_a_source():
    (found,) = refused('[[filter]]\nuse = "it"\nname = "peer"\n', it=AskPeer)
    assert "a filter cannot be called 'peer'" in found


def test_words_are_what_filters_and_policy_ask_for():
    policy = "[[rule]]\nname = 'x'\nwhen = 'from.domain'\nthen = 'pass'\n".replace(
        "'from.domain'", "\"from.domain == 'a'\""
    )
    plan = plan_of(uses("it"), policy, it=AskHelo)
    assert plan.words == {"peer", "helo", "from"}
    assert plan.wants("from")
    assert not plan.wants("message")


def test_words_of_replies_and_weights_count_too():
    policy = (
        '[[weight]]\nname = "w"\nadd = "1"\nwhen = "sender.domain == \'a\'"\n'
        '[[rule]]\nname = "r"\nwhen = "peer"\nthen = "reject"\nreply = "550 5.7.1 {helo.name}"\n'
    )
    assert plan_of("", policy).words == {"sender", "peer", "helo"}


def test_revision_follows_the_text_of_both_files():
    texts = [("", ""), ('title = "x"', ""), ("", 'title = "x"')]
    revisions = [plan_of(*pair).revision for pair in texts]
    assert len(set(revisions)) == 3
    assert plan_of("", "").revision == revisions[0]


def test_nodes_stand_in_the_order_of_the_file():
    plan = plan_of(uses("last", "first"), last=AskMessage, first=AskPeer)
    assert [each.name for each in plan.nodes] == ["last", "first"]


def test_step_answers_only_when_somebody_may_refuse():
    assert not plan_of(uses("it"), it=AskPeer).steps[Stage.CONNECT].answers
    assert plan_of(uses("it") + 'on_error = "defer"', it=AskPeer).steps[Stage.CONNECT].answers
    assert not plan_of(uses("it") + 'on_error = "tag"', it=AskPeer).steps[Stage.CONNECT].answers
    assert plan_of(uses("it"), it=AskVerdict).steps[Stage.SETTLED].answers


def test_unused_envelope_asks_keep_their_word():
    class AskEnvelope:
        def run(self, envelope: Envelope) -> Listed:
            return Listed()

    assert plan_of(uses("it"), it=AskEnvelope).wants("envelope")


def test_when_of_a_filter_may_ask_a_named_list():
    known = lists(offices=("networks", {"192.0.2.1": ""}))
    text = '[[filter]]\nuse = "spf"\nwhen = "peer.ip not in lists.offices"'
    plan = compile_plan(
        spec.load(Document(text, "p.toml"), "p"), Document("", "l.toml"), "l", known
    )
    (node,) = plan.nodes
    assert node.when is not None
    assert node.when.lists == {"offices"}


def test_a_rule_about_a_header_field_is_judged_as_soon_as_the_header_is_here():
    policy = "[[rule]]\nname = 'r'\nwhen = \"header('List-Id') == 'x'\"\nthen = 'reject'\n"
    plan = plan_of("", policy)
    assert plan.policy.rules[0].stage is Stage.HEADERS
    assert plan.wants("headers")
    assert not plan.wants("message")
    assert not plan_of("", policy.replace("header('List-Id')", "sender.domain")).wants("headers")


def test_a_filter_may_wait_for_a_header_field():
    text = uses("listed") + "when = \"has_header('List-Id')\"\n"
    plan = plan_of(text, listed=AskPeer)
    assert (plan.nodes[0].stage, plan.wants("headers")) == (Stage.HEADERS, True)


def test_a_header_field_is_not_known_for_one_recipient():
    policy = "[[rule]]\nname = 'r'\nthen = 'reject'\n"
    policy += "when = \"recipient.local == 'ann' and has_header('List-Id')\"\n"
    with pytest.raises(Misconfigured) as caught:
        plan_of("", policy)
    (fault,) = caught.value.faults
    assert fault.sentence.startswith("'recipient' is known for one recipient, 'headers' only")
    assert (fault.place.column, fault.width) == (38, 7)


def test_a_filter_that_waits_for_a_fact_of_the_shelf_is_told_which_filter_to_add():
    text = uses("listed") + "when = \"dkim.result == 'pass'\"\n"
    with pytest.raises(Misconfigured) as caught:
        plan_of(text, listed=AskPeer)
    assert caught.value.faults[0].hint.startswith(
        'Add   [[filter]] use = "dkim"   to the pipeline.'
    )
