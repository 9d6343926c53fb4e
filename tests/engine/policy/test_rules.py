"""A policy is read strictly; what it names fixes when it is judged."""

import datetime
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from listed import lists

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.policy import judge, rules
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rules import Policy, Word


@dataclass(frozen=True, slots=True)
class Early:
    result: Literal["good", "bad"] = "good"
    text: str = ""
    size: float = 1.5


RECORD = Kind("record", record=Early)
WORDS = {
    "early": Word(RECORD, Stage.HELO),
    "late": Word(RECORD, Stage.BODY),
    "own": Word(RECORD, Stage.RCPT, recipient=True),
    "absent": Word(RECORD, Stage.CONNECT, given=False),
    "after": Word(RECORD, Stage.SETTLED),
}


def loaded(text: str) -> Policy:
    return rules.load(Document(text, "law.toml"), "law", WORDS)


def rule(**keys: str) -> str:
    keys = {"name": '"r"', "when": '"early"', "then": '"reject"', **keys}
    return "[[rule]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def weight(**keys: str) -> str:
    keys = {"name": '"w"', "add": "1", **keys}
    return "[[weight]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def faults(text: str) -> list[tuple[str, str]]:
    with pytest.raises(Misconfigured) as caught:
        loaded(text)
    return [(str(fault.place), fault.sentence) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("when", "stage", "recipient"),
    [
        ("True", Stage.CONNECT, False),
        ("early", Stage.HELO, False),
        ("early and late", Stage.BODY, False),
        ("not absent", Stage.CONNECT, False),
        ("early and not absent", Stage.HELO, False),
        ("own and early", Stage.RCPT, True),
    ],
)
def test_what_a_rule_names_fixes_its_stage_and_scope(when, stage, recipient):
    policy = loaded(rule(when=f'"{when}"'))
    (found,) = policy.rules
    assert (found.stage, found.recipient) == (stage, recipient)
    assert policy.rules_at(stage, recipient=recipient) == (found,)
    assert policy.rules_at(stage, recipient=not recipient) == ()


@pytest.mark.parametrize("when", ["absent", "early and absent", "late and early and absent"])
def test_a_rule_that_needs_what_nobody_measures_is_judged_nowhere(when):
    policy = loaded(rule(when=f'"{when}"'))
    assert [found.live for found in policy.rules] == [False]
    assert all(policy.rules_at(stage) == () for stage in Stage)


def test_words_of_the_reply_delay_a_rule():
    assert loaded(rule(reply='"550 5.7.1 {late.text}"')).rules[0].stage is Stage.BODY


def test_score_is_known_with_the_last_weight():
    text = weight(when='"late"') + rule(when='"score > 1"')
    assert loaded(text).rules[0].stage is Stage.BODY
    assert loaded(rule(when='"score > 1"')).rules[0].stage is Stage.CONNECT


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("colour = 1", "law.toml:1:1", "unknown key 'colour'"),
        ("title = 5", "law.toml:1:9", "title is a text in quotes"),
        (rule(whenn='"x"'), "law.toml:5:1", "unknown key 'whenn'"),
        (weight(then='"x"'), "law.toml:4:1", "unknown key 'then'"),
        ('rule = "x"', "law.toml:1:1", "'rule' is written [[rule]]"),
        ("[weight]\nadd = 1", "law.toml:1:1", "'weight' is written [[weight]]"),
        ("[[rule]]\nwhen = 'early'\nthen = 'pass'", "law.toml:1:1", "'name' is missing here"),
        ("[[weight]]\nname = 'x'", "law.toml:1:1", "'add' is missing here"),
        ('[[rule]]\nname = "a\\nb"\nwhen = "early"\nthen = "pass"', "law.toml:2:9",
         "name is one line of letters that can be seen"),
        ('[[rule]]\nname = "a\\u202eb"\nwhen = "early"\nthen = "pass"', "law.toml:2:9",
         "name is one line of letters that can be seen"),
        ('[[weight]]\nname = """a\nb"""\nadd = 1', "law.toml:2:11",
         "name is one line of letters that can be seen"),
        ('[[weight]]\nname = " "\nadd = 1', "law.toml:2:9",
         "name is one line of letters that can be seen"),
        (rule(name="5"), "law.toml:2:8", "name is a text in quotes"),
        (rule(name='["x"]'), "law.toml:2:8", "name is a text in quotes"),
        (rule(then='"rejct"'), "law.toml:4:9", "then can never be 'rejct'"),
        (rule(then='["reject"]'), "law.toml:4:8", "then can never be ['reject']"),
        (rule(when="true"), "law.toml:3:8", "is a text in quotes that holds a condition"),
        (rule(when='"early.result"'), "law.toml:3:9", "is choice, not a condition"),
        (rule(when='"early.result == \'god\'"'),
         "law.toml:3:25", "early.result can never be 'god'"),
        (rule(when='"erly"'), "law.toml:3:9", "nothing here is called 'erly'"),
        (rule(why="5"), "law.toml:5:7", "why is a text in quotes"),
        (weight(why="5"), "law.toml:4:7", "why is a text in quotes"),
        (weight(add="true"), "law.toml:3:7", "add wants a number, this is truth"),
        (weight(add='"early.text"'), "law.toml:3:8", "add wants a number, this is text"),
        (weight(when='"early.size"'), "law.toml:4:9", "is number, not a condition"),
        (weight(when='"own"'), "law.toml:4:9",
         "a weight cannot name what differs between recipients"),
        (rule(when='"own and late"'), "law.toml:3:17",
         "'own' is known for one recipient, 'late' only for the whole mail later"),
        (rule(when='"after"'), "law.toml:3:9", "names 'after', which is measured after judgement"),
        (rule(when='"own"', then='"tag"'), "law.toml:4:1",
         "'tag' takes a whole mail, but the rule names one recipient's facts"),
        (rule(reply="5"), "law.toml:5:9", "reply is a text in quotes"),
        (rule(reply='"no"'),
         "law.toml:5:10", "a reply reads like '550 5.7.1 words for the sender'"),
        (rule(reply='"550 4.7.1 x"'),
         "law.toml:5:10", "550 and 4.7.1 must begin with the same digit"),
        (rule(reply='"451 4.7.1 x"'), "law.toml:5:10", "a reply of 'reject' begins with 5"),
        (rule(then='"defer"', reply='"550 x"'),
         "law.toml:5:10", "a reply of 'defer' begins with 4"),
        (rule(then='"pass"', reply='"550 x"'), "law.toml:5:1", "'pass' gives no reply"),
        (rule(reply='"550 5.7.1 {erly.text}"'), "law.toml:5:21", "nothing here is called 'erly'"),
        (rule(reply='"550 5.7.1 {early}"'), "law.toml:5:21", "is a whole fact, not a text"),
        (rule() + rule(), "law.toml:5:1", 'two rules are called "r"'),
        (weight() + weight(), "law.toml:4:1", 'two weights are called "w"'),
        (rule(reply='"550 5.7.1 {early.text"'), "law.toml:5:20", "'{' without its '}'"),
        (rule(reply='"550 5.7.1 early}"'), "law.toml:5:25", "'}' without its '{'"),
        (rule(stop='"no"'), "law.toml:5:9", "stop is true or false, without quotes"),
        (rule(stop="false"), "law.toml:5:1",
         "'reject' ends the judging, but stop = false lets it go on"),
        ("[[rule]]\nname = 'r'\nwhen = 'early'\nstop = false", "law.toml:1:1",
         "the rule does nothing: it neither decides, nor marks, nor adds"),
        (rule(expires='"2027-01-31"'), "law.toml:5:12", "expires is a date"),
        (rule(expires="2027-01-31T10:00:00Z"), "law.toml:5:11", "expires is a date"),
        (rule(owner="5"), "law.toml:5:9", "owner is a text in quotes"),
        (rule(note="5"), "law.toml:5:8", "note is a text in quotes"),
        (weight(expires="5"), "law.toml:4:11", "expires is a date"),
        (rule(quarantine='"x"'), "law.toml:5:1", "'reject' holds no mail"),
        (rule(then='"quarantine"', quarantine='"{erly}"'), "law.toml:5:16",
         "nothing here is called 'erly'"),
        (rule(redirect='"a@b.example"'), "law.toml:5:1",
         "'reject' takes no mail that could go elsewhere"),
        (rule(then='"pass"', redirect='"nobody"'), "law.toml:5:13", "'nobody' is no address"),
        (rule(then='"pass"', redirect='"<>"'), "law.toml:5:13", "'<>' is no address"),
        (rule(then='"pass"', redirect='"{early.text}@b.example"'), "law.toml:5:13",
         "'{early.text}@b.example' is no address"),
        (rule(then='"pass"', redirect='"a@b@c"'), "law.toml:5:13",
         "the domain holds a character that no domain has"),
        (rule(then='"pass"', add_header='"X"'), "law.toml:5:1", "add_header is a table"),
        (rule(then='"pass"', add_header='{ "X Y" = "x" }'), "law.toml:5:16",
         "'X Y' is no name of a header field"),
        (rule(then='"pass"', add_header='{ Subject = "x" }'), "law.toml:5:16",
         "a mail has its own 'Subject', and a second one would mislead"),
        (rule(then='"pass"', add_header='{ X-A = 5 }'), "law.toml:5:22",
         "a header field is a text in quotes"),
        (rule(then='"pass"', add_header='{ X-A = "é" }'), "law.toml:5:23",
         "a header field is one line of plain ASCII, at most 900 characters"),
        (rule(then='"pass"', add_header='{ X-A = "{early}" }'), "law.toml:5:24",
         "is a whole fact, not a text"),
        (rule(then='"pass"', add_header='{ X-A = "{late.txt}" }'), "law.toml:5:24",
         "'late' has no field 'txt'"),
    ],
)  # fmt: skip
def test_each_fault_has_its_place_and_sentence(text, place, sentence):
    assert (place, sentence) in faults(text)


def test_every_fault_of_a_file_is_told_at_once():
    text = rule(then='"rejct"', when='"erly"') + weight(add='"late"')
    assert len(faults(text)) == 3


def test_reply_is_filled_with_cleaned_and_bounded_values():
    (found,) = loaded(rule(reply='"550 5.7.1 {early.text} of {early.size} by {late.text}"')).rules
    evil = Early(text="a\r\n250 OK\x00" + "x" * 500, size=2.0)
    verdict = judge.verdict(found, {"early": evil})
    words = "a??250 OK?" + "x" * 110
    assert str(verdict.reply) == f"550 5.7.1 {words} of 2 by unknown"


def test_text_of_a_placeholder_is_no_placeholder_itself():
    (found,) = loaded(rule(reply='"550 5.7.1 {early.text}"')).rules
    verdict = judge.verdict(found, {"early": Early(text="{late.text} {")})
    assert str(verdict.reply) == "550 5.7.1 {late.text} {"


@given(st.text(max_size=200))
@example("4.7.1 come again")
@example("5.5.5 another code")
@example("\r\n250 2.0.0 Ok")
@example("550-")
def test_what_strangers_wrote_is_neither_code_nor_line_of_a_reply(text):
    for written in ("550 {early.text}", "550 5.7.26 {early.text}", "550 5.7.26 a {early.text} b"):
        (found,) = loaded(rule(reply=f'"{written}"')).rules
        reply = judge.verdict(found, {"early": Early(text=text)}).reply
        assert (reply.code, reply.enhanced) == (550, "5.7.26" if "26" in written else "5.7.1")
        assert len(reply.lines) == 1
        assert reply.text.isprintable()
        assert len(reply.text) <= 124


def test_refusal_without_reply_has_one_by_default():
    (found,) = loaded(rule(then='"defer"')).rules
    assert str(judge.verdict(found, {}).reply) == "451 4.7.1 Please try again later"
    (found,) = loaded(rule(then='"tag"')).rules
    assert judge.verdict(found, {}).reply is None


def test_rules_and_weights_keep_what_was_written():
    policy = loaded('title = "Law"\n' + rule(why='"so"') + weight(why='"because"', when='"early"'))
    assert (policy.name, policy.title) == ("law", "Law")
    assert (policy.rules[0].then, policy.rules[0].why) == (Action.REJECT, "so")
    assert (policy.weights[0].why, policy.weights[0].stage) == ("because", Stage.HELO)


def test_rule_may_ask_a_named_list():
    known = lists(partners=("domains", {"good.example": ""}))
    text = rule(when='"early.text in lists.partners"')
    (found,) = rules.load(Document(text, "law.toml"), "law", WORDS, known).rules
    assert found.when.lists == {"partners"}
    assert found.when.run({"early": Early(text="good.example")}) is True


def test_fault_in_a_condition_of_many_lines_has_its_own_place():
    text = rule(when='"""\n  early\n  and late.resul == \'good\'\n"""')
    with pytest.raises(Misconfigured) as caught:
        loaded(text)
    assert str(caught.value.faults[0]) == (
        "law.toml:5:7  'late' has no field 'resul'\n"
        "      and late.resul == 'good'\n"
        "          ^^^^^^^^^^\n"
        "    one of: result size text\n"
        "    did you mean 'result'?"
    )


def test_what_a_rule_writes_delays_it_too():
    header = rule(then='"pass"', add_header='{ X-A = "{late.text}" }')
    held = rule(then='"quarantine"', quarantine='"{late.text}"')
    assert [loaded(text).rules[0].stage for text in (header, held)] == [Stage.BODY] * 2


def test_keys_for_people_are_kept():
    text = rule(owner='"ops"', note='"why not"', expires="2027-01-31", stop="true")
    (found,) = loaded(text).rules
    assert (found.owner, found.note, found.stop) == ("ops", "why not", True)
    assert found.expires == datetime.date(2027, 1, 31)
    (found,) = loaded(weight(owner='"ops"', note='"n"', expires="2027-01-31")).weights
    assert (found.owner, found.note, found.expires) == ("ops", "n", datetime.date(2027, 1, 31))


def test_rule_that_only_adds_needs_no_action():
    text = "[[rule]]\nname = 'r'\nwhen = 'early'\nstop = false\nadd_header = { X-A = 'x' }"
    (found,) = loaded(text).rules
    assert (found.then, found.stop, found.acts) == (Action.PASS, False, True)


def test_redirect_is_an_address():
    (found,) = loaded(rule(then='"tag"', redirect='"Abuse@Example.ORG"')).rules
    assert str(found.redirect) == "Abuse@example.org"
