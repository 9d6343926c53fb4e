"""The mistakes of a newcomer, each as it is told: after it one knows what to type."""

from pathlib import Path

import pytest
from listed import lists

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan

PIPELINE = Path(__file__).resolve().parents[3] / "pipelines" / "inbound.toml"
LISTS = lists(partners=("domains", {}), vips=("addresses", {}))


def told(*lines: str) -> str:
    """What is said of a policy over the shipped pipeline."""
    wired = spec.load(Document.load(PIPELINE), "inbound")
    with pytest.raises(Misconfigured) as caught:
        compile_plan(wired, Document("\n".join(lines), "law.toml"), "law", LISTS)
    return str(caught.value)


def rule(when: str) -> str:
    return told("[[rule]]", 'name = "r"', f'when = "{when}"', 'then = "tag"')


def test_misspelt_field_is_told_with_the_fields_that_there_are():
    assert (
        rule("spf.resul == 'fail'")
        == """\
law.toml:3:9  'spf' has no field 'resul'
    when = "spf.resul == 'fail'"
            ^^^^^^^^^
    one of: domain explanation helo reason result scope term
    did you mean 'result'?"""
    )


def test_wrong_word_of_a_choice_is_told_with_all_words():
    assert (
        rule("dmarc.result == 'failed' and dmarc.policy == 'reject'")
        == """\
law.toml:3:25  dmarc.result can never be 'failed'
    when = "dmarc.result == 'failed' and dmarc.policy == 'reject'"
                            ^^^^^^^^
    one of: fail none pass permerror temperror
    did you mean 'fail'?"""
    )


def test_one_equals_sign_is_told_to_be_two():
    assert (
        rule("spf.result = 'fail'")
        == """\
law.toml:3:20  '=' sets a value; a condition compares
    when = "spf.result = 'fail'"
                       ^
    Write == to compare."""
    )


@pytest.mark.parametrize("word", ["fail", "pass"])
def test_missing_quotes_are_told(word):
    caret = "^" * len(word)
    assert (
        rule(f"spf.result == {word}")
        == f"""\
law.toml:3:23  nothing here is called '{word}'
    when = "spf.result == {word}"
                          {caret}
    Text stands in quotes: '{word}'."""
    )


def test_wrong_unit_is_told_with_an_amount_that_fits():
    assert (
        rule("message.size > 5m")
        == """\
law.toml:3:24  message.size is octets; '5m' is a time
    when = "message.size > 5m"
                           ^^
    Write a size such as 25MiB."""
    )


def test_unknown_key_is_told_with_the_nearest():
    assert (
        told("[[rule]]", 'name = "r"', 'wehn = "peer"', 'when = "peer"', 'then = "tag"')
        == """\
law.toml:3:1  unknown key 'wehn'
    one of: add_header expires name note owner quarantine redirect reply stop then when why
    did you mean 'when'?"""
    )


def test_missing_list_is_told_with_the_nearest():
    assert (
        rule("from.domain in lists.partner")
        == """\
law.toml:3:24  there is no list 'partner'
    when = "from.domain in lists.partner"
                           ^^^^^^^^^^^^^
    one of: partners vips
    did you mean 'partners'?"""
    )


def test_bad_regular_expression_is_told_in_its_library_s_words():
    assert (
        rule("matches(helo.name, '[a-')")
        == """\
law.toml:3:28  the pattern cannot be read: missing ]: [a-
    when = "matches(helo.name, '[a-')"
                               ^^^^^
    The syntax: https://github.com/google/re2/wiki/Syntax"""
    )


def test_name_that_is_taken_is_told_with_both_places():
    one = ("[[rule]]", 'name = "r"', 'when = "peer"', 'then = "tag"', "")
    assert (
        told(*one, *one)
        == """\
law.toml:6:1  two rules are called "r"
    The other stands in line 1; give one of them another name."""
    )


def test_rule_at_the_wrong_stage_is_told_with_what_comes_later():
    assert (
        rule("greylist.wait and message.size > 25MiB")
        == """\
law.toml:3:27  'greylist' is known for one recipient, 'message' only for the whole mail later
    when = "greylist.wait and message.size > 25MiB"
                              ^^^^^^^
    Split the rule in two."""
    )


@pytest.mark.parametrize(
    ("when", "column", "sentence", "hint"),
    [
        ("spf.result == ‘fail’", 23, "‘ is no quote here", "Write straight quotes: 'x'."),
        ("spf.result == “fail”", 23, "“ is no quote here", "Write straight quotes: 'x'."),
        ("message.size > 10 MiB", 24, "'10 MiB' is an amount in two words", "Write 10MiB."),
        ("message.size > 10,5MiB", 9, "a comma stands between two conditions",
         "Write and, or or, between two conditions; a fraction has a point: 10.5MiB."),
        ("message.size > 1.000.000", 24, "'1.000.000' is no number", "Write 1000000."),
        ("spam.probability > 50%", 28, "'50%' is not of this language",
         "A share goes from 0 to 1: write 0.5."),
        ("headers.subject matches 'x'", 25, "'matches' is a function",
         "Write matches(TEXT, 'regular expression')."),
        ("headers.subject ~ 'x'", 25, "'~' is not of this language",
         "Write matches(TEXT, 'regular expression')."),
        ("peer.ip == 192.0.2.1", 20, "192.0.2.1 is no number",
         "An address stands in quotes: '192.0.2.1'."),
        ("peer.ip in 2001:db8::/32", 20, "2001:db8::/32 is no number",
         "An address stands in quotes: '2001:db8::/32'."),
        ("peer.ip in '192.0.2.1/24'", 20,
         "'192.0.2.1/24' has bits behind its mask: 192.0.2.0/24 is meant, or an address",
         "Write '192.0.2.0/24'."),
        ("message.size > 10,5 MiB and peer", 24, "'10,5 MiB' is no number", "Write 10.5MiB."),
        ("(message.size > 1,000,000 and)", 25, "'1,000,000' is no number", "Write 1000000."),
        ("(spam.probability > 1,000 and)", 29, "'1,000' is no number", "Write 1.000, or 1000."),
        ("message.size > 1 000 000", 24, "'1 000 000' is no number", "Write 1000000."),
        ("greylist.left > 5 minutes", 25, "'5 minutes' is no amount", "Write 5m."),
        ("message.size > 5 bytes", 24, "'5 bytes' is no amount", "Write 5B."),
        ("message.size ≥ 10MiB", 22, "'≥' is not of this language", "Write !=, <= or >=."),
        ("message.size – 5 > 1", 22, "– is no minus sign here", "Write - as the keyboard has it."),
        ("headers.subject !~ 'x'", 25, "'!~' is not of this language",
         "Write not matches(TEXT, 'regular expression')."),
        ("spf.result == /x/", 23, "'/x/' is not of this language",
         "Write matches(TEXT, 'regular expression')."),
        ("spf.result equals 'x'", 20, "'equals' is not of this language", "Write == to compare."),
        ("peer and or peer", 14, "'and or' are two", "Take one of them away."),
        ("spf.result ==", 20, "nothing follows '=='", "Write what to compare with."),
        ("spf.result == 'fail';", 29, "';' is not of this language",
         "A condition stands alone; and, or join two."),
        ("(peer", 9, "is no condition: '(' was never closed",
         "Write the bracket that closes it."),
        ("peer)", 13, "is no condition: unmatched ')'",
         "Take it away, or write the bracket that opens it."),
        ("$peer", 9, "is no condition: invalid syntax",
         "Names, 'text', numbers, [lists], and or not, == != < <= > >= in, + - * /, functions."),
        ("spf.result == 'fail' (peer)", 23, "two conditions stand side by side",
         "Join them by and, or by or."),
        ("'ann' in from.addresses", 18, "'from.addresses' holds whole facts",
         "Write from.domain, or from.local."),
        ("dkim.signatures.result == 'pass'", 9, "'dkim.signatures' has no fields",
         "Write dkim.result."),
        ("dkim.signatures.domain == 'x'", 9, "'dkim.signatures' has no fields",
         "Write 'x' in dkim.domains."),
        ("dkim.domains == 'a.example'", 25, "compares list with text",
         "Write in, or not in: 'a.example' in dkim.domains."),
        ("from.domain in lists['partners']", 24, "a list is named behind a point",
         "Write lists.partners."),
        ("peer.network in '192.0.0.0/16'", 9,
         "peer.network is no address, so no network holds it",
         "Write peer.ip in '192.0.0.0/16'."),
        ("headers.subject not in ['10.0.0.0/8']", 9,
         "headers.subject is no address, so no network holds it",
         "Write peer.ip not in ['10.0.0.0/8']."),
        ("spf.result == 'fail' and", 30, "nothing follows 'and'",
         "Write what it joins, or take it away."),
        ("or spf.result == 'fail'", 9, "nothing stands before 'or'",
         "Write what it joins, or take it away."),
        ("if spf.result == 'fail'", 9, "'if' is not of this language",
         'A condition stands alone; what becomes of the mail is the key "then".'),
        ("spf.result: 'fail'", 19, "':' is not of this language", "Write == to compare."),
        ("spf == None", 16, "'None' is not of this language",
         "What is absent is false: write NAME, or not NAME."),
        ("to == 'a@b.example'", 9, "nothing here is called 'to'",
         "Write recipient, or header('To')."),
        ("from.domain in list.partners", 24, "nothing here is called 'list'",
         "Write lists.NAME."),
        ("from.domain in partners", 24, "nothing here is called 'partners'",
         "A list is written lists.partners."),
        ("spam > 0.5", 9, "'spam' is record, not a number", "Write spam.probability."),
        ("spf.result == ['fail', 'softfail']", 23, "one value is compared with a list",
         "Write spf.result in ['fail', 'softfail']."),
        ("has_header(X-Foo)", 20, "a header field is named by a text in quotes",
         "Write has_header('X-Foo')."),
        ("'pass' in dkim.signatures", 19, "'dkim.signatures' holds whole facts",
         "Write dkim.result == 'pass'."),
        ("'a.example' in dkim.signatures", 24, "'dkim.signatures' holds whole facts",
         "Write 'a.example' in dkim.domains."),
        ("spf.result == 'fail' or 'softfail'", 33, "'softfail' is text, not a condition",
         "Compare it: a == 'x' or a == 'y', a in ['x', 'y']."),
    ],
)  # fmt: skip
def test_habit_of_another_language_is_told_with_what_to_type(when, column, sentence, hint):
    lines = rule(when).splitlines()
    assert lines[0] == f"law.toml:3:{column}  {sentence}"
    assert lines[-1] == f"    {hint}"


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (("[[rule]]", 'when = "peer"', 'then = "tag"'),
         'Write name = "what-it-is-about": it stands in logs and records.'),
        (("[[rule]]", 'name = "r"', 'then = "tag"'), "Write when = \"spf.result == 'fail'\"."),
        (("[[rule]]", 'name = "r"', 'when = "peer"'),
         'Write then = "tag".\n    one of: defer discard pass quarantine reject tag'),
        (("[[weight]]", 'name = "w"'), "Write add = 2.5, or a computation in quotes."),
    ],
)  # fmt: skip
def test_key_that_is_missing_is_told_with_what_it_may_be(lines, hint):
    assert told(*lines).endswith(f"is missing here\n    {hint}")
