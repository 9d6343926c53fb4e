"""A case with a mail: what it may say, and each fault with its place."""

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.policy import trial

NOW = "now = 2026-11-23T12:00:00Z\n"


def cases(text: str):
    return trial.load(Document('[[case]]\nexpect = "pass"\n' + text, "law.test.toml"), {})


def test_case_without_a_mail_s_keys_is_told_by_facts():
    (case,) = cases("")
    assert case.mail is None


def test_visit_holds_what_was_written_and_an_empty_world():
    (case,) = cases('ip = "192.0.2.7"\nto = ["a@b.example"]\n' + NOW)
    assert case.mail.visit == {
        "ip": "192.0.2.7",
        "to": ["a@b.example"],
        "now": "2026-11-23T12:00:00+00:00",
        "dns": {},
        "scanner": "",
        "state": "keep",
    }


def test_earlier_visits_are_the_same_but_for_what_they_say():
    (case,) = cases('ip = "192.0.2.7"\nstate = [{ now = "2026-11-23T11:00" }]\n' + NOW)
    (before,) = case.mail.before
    assert before == case.mail.visit | {"now": "2026-11-23T11:00"}


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ('ip = "192.0.2.7"\n', "1:1", "a mail's case has no 'now'"),
        ("ip = 5\n" + NOW, "3:1", "ip wants an address in quotes"),
        ("mail = []\n" + NOW, "3:1", "mail wants the path of a mail, in quotes"),
        ("to = [5]\n" + NOW, "3:1", "to wants an address in quotes, or a list of them"),
        ("dns = 5\n" + NOW, "3:1", "dns wants the path of a zone, or a table of names"),
        ('now = "noon"\n', "3:1", "now wants a time such as 2026-11-23T12:00:00Z"),
        ('state = "keep"\n' + NOW, "3:1", "state lists earlier visits"),
        ('state = [{ nwo = "x" }]\n' + NOW, "3:1", "state: unknown key 'nwo'"),
        ('given = {}\nip = "192.0.2.7"\n' + NOW, "3:1", "'given' beside a mail"),
    ],
)
def test_each_fault_of_a_mail_s_case_has_its_place(text, place, sentence):
    with pytest.raises(Misconfigured) as caught:
        cases(text)
    told = [(str(fault.place), fault.sentence) for fault in caught.value.faults]
    assert told == [(f"law.test.toml:{place}", sentence)]
