"""Units, named lists, networks and patterns: what a condition means, and each mistake in them."""

import builtins
from dataclasses import dataclass
from typing import Any

import pytest
from listed import lists

from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Body, Message
from millrace.engine.mail.session import Peer
from millrace.engine.options import Seconds
from millrace.engine.policy.expr import Misfit, compile_condition, compile_text
from millrace.engine.policy.kinds import NUMBER, Kind, fields_of


@dataclass(frozen=True, slots=True)
class Greylist:
    wait: bool = True
    left: Seconds = Seconds(300.0)
    passes: int = 3
    name: str = "Mail.Example.org"


def record(cls: type) -> Kind:
    return Kind("record", record=cls)


NAMES = {
    "message": record(Message),
    "greylist": record(Greylist),
    "peer": record(Peer),
    "sender": record(Sender),
    "recipient": record(Recipient),
    "gone": record(Greylist),
    "nobody": record(Sender),
    "score": NUMBER,
}
MESSAGE = Message.parse(b"Subject: x\r\n\r\n")
VALUES: dict[str, Any] = {
    "message": Message(MESSAGE.headers, Body(bytes(1 << 20))),
    "greylist": Greylist(),
    "peer": Peer.at("192.0.2.7"),
    "sender": Sender(Address("ann", "example.org")),
    "recipient": Recipient(Address("postmaster", "")),
    "score": 7.0,
}
LISTS = lists(
    partners=("domains", {"example.org": ""}),
    vips=("addresses", {"ann@example.org": "", "postmaster": "", "": ""}),
    offices=("networks", {"192.0.2.7": ""}),
    words=("patterns", {"Mail.Example.org": ""}),
    tier=("map", {"example.org": "gold", "ann@example.org": "silver"}),
)


def value(text: str, **more: Any) -> Any:
    return compile_text(text, NAMES, LISTS).run({**VALUES, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("message.size > 1MiB", True),
        ("message.size > 1.5MiB", False),
        ("1MB < message.size < 2MB", True),
        ("message.size > 1000000", True),
        ("message.size + 1MiB > 2MiB", True),
        ("message.size / 1MiB > 1", True),
        ("message.size * 2 > 2MiB", True),
        ("message.size in [1MiB, 2MiB]", False),
        ("max(message.size, 3GiB) == 3GiB", True),
        ("greylist.left == 5m", True),
        ("greylist.left <= 300s", True),
        ("greylist.left > 0.5h", False),
        ("greylist.left == 300000ms", True),
        ("greylist.left < 1d and greylist.left < 1w and greylist.left < 1y", True),
        ("greylist.left - 1m == 4m", True),
        ("gone.left < 5m", False),
        ("greylist.passes == 3", True),
        ("score > 1e0", True),
        ("score > 0x1", True),
    ],
)
def test_amount_is_its_number_of_octets_or_seconds(text, expected):
    assert bool(value(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("peer.ip in '192.0.2.0/24'", True),
        ("peer.ip not in '192.0.2.0/24'", False),
        ("peer.network == '192.0.2.0/24'", True),
        ("peer.ip in '192.0.2.7'", True),
        ("peer.ip in '192.0.2.70'", False),
        ("peer.ip in ['10.0.0.0/8', '192.0.2.7']", True),
        ("peer.ip in ['10.0.0.0/8', '2001:db8::/32']", False),
        ("greylist.name in '0.0.0.0/0'", False),
        ("gone.name in '0.0.0.0/0'", False),
        ("gone.name not in '0.0.0.0/0'", True),
    ],
)
def test_address_is_in_networks_that_stand_in_quotes(text, expected):
    assert value(text) is expected


@pytest.mark.parametrize(
    ("ip", "expected"),
    [("2001:db8::1", True), ("2001:db9::1", False), ("::ffff:198.51.100.1", True), ("", False),
     ("2001:db8::1%eth0", True), ("\ud800", False)],
)  # fmt: skip
def test_network_knows_both_families_and_one_host_by_one_name(ip, expected):
    assert value("peer.ip in ['2001:DB8::/32', '198.51.100.1']", peer=Peer(ip)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sender.domain in lists.partners", True),
        ("sender.domain not in lists.partners", False),
        ("greylist.name in lists.partners", False),
        ("sender in lists.vips", True),
        ("recipient in lists.vips", True),
        ("nobody in lists.vips", False),
        ("nobody not in lists.vips", True),
        ("gone.name in lists.partners", False),
        ("gone.name not in lists.partners", True),
        ("peer.ip in lists.offices", True),
        ("greylist.name in lists.words", True),
        ("sender.domain in lists.tier", True),
        ("lists.tier[sender.domain] == 'gold'", True),
        ("lists.tier[sender] == 'silver'", True),
        ("lists.tier[lower(greylist.name)] == 'gold'", False),
        ("lists.tier[greylist.name] == 'gold'", False),
        ("lists.tier[greylist.name] != 'gold'", True),
        ("lists.tier[gone.name] != 'gold'", True),
        ("lists.tier[sender.domain] in ['gold', 'silver']", True),
        ("len(lists.tier[sender.domain]) == 4", True),
        ("lists.tier[sender.domain] and score > 5", True),
    ],
)
def test_named_list_is_asked_for_a_text(text, expected):
    assert bool(value(text)) is expected


def test_null_sender_is_the_empty_address():
    assert value("sender in lists.vips", sender=Sender(None)) is True


def test_lists_that_a_condition_reads_are_told():
    found = compile_text("sender in lists.vips or lists.tier[sender] == 'x'", NAMES, LISTS)
    assert found.lists == {"vips", "tier"}
    assert found.names == {"sender"}


def test_list_that_changes_is_seen_at_once():
    mutable: dict[str, str] = {}
    found = compile_text("peer.ip in lists.hot", NAMES, lists(hot=("networks", mutable)))
    assert found.run(VALUES) is False
    mutable["192.0.2.7"] = ""
    assert found.run(VALUES) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"matches(greylist.name, 'example')", False),
        (r"matches(greylist.name, '(?i)example')", True),
        (r"matches(greylist.name, '^Mail[.]')", True),
        (r"matches(greylist.name, r'\.org$')", True),
        (r"matches(gone.name, '.')", False),
        (r"not matches(gone.name, '.')", True),
    ],
)
def test_pattern_is_found_anywhere_in_a_text(text, expected):
    assert value(text) is expected


@pytest.mark.parametrize("text", ["", "é", "\udcff", "\0", "x" * 100_000])
def test_pattern_takes_whatever_strangers_send(text):
    assert value("matches(greylist.name, '(x+x+)+y')", greylist=Greylist(name=text)) is False


def misfit(text: str) -> tuple[str, str, str]:
    """Sentence, hint, and what the caret covers."""
    with pytest.raises(Misfit) as caught:
        compile_condition(text, NAMES, LISTS)
    found = caught.value
    return found.sentence, found.hint, text[found.offset : found.offset + found.width]


UNITS = "sizes: B KB MB GB KiB MiB GiB   times: ms s m h d w y"
FILES = ".domains, or .addresses .networks .patterns .map."
KNOWN = "one of: offices partners tier vips words"


@pytest.mark.parametrize(
    ("text", "sentence", "hint", "caret"),
    [
        ("message.size > 5m", "message.size is octets; '5m' is a time",
         "Write a size such as 25MiB.", "5m"),
        ("greylist.left > 25MiB", "greylist.left is seconds; '25MiB' is a size",
         "Write a time such as 5m.", "25MiB"),
        ("score > 5m", "score is a plain number; '5m' is a time", "Write it without a unit.", "5m"),
        ("message.size + greylist.left > 5", "message.size is octets; 'greylist.left' is a time",
         "Write a size such as 25MiB.", "greylist.left"),
        ("message.size == 5m", "message.size is octets; '5m' is a time",
         "Write a size such as 25MiB.", "5m"),
        ("message.size in [1MiB, 5m]", "mixes a size and a time", "", "[1MiB, 5m]"),
        ("message.size > 25MB2", "there is no unit 'MB2'", f"{UNITS}\ndid you mean '25MB'?",
         "25MB2"),
        ("message.size > 25mib", "there is no unit 'mib'", f"{UNITS}\ndid you mean '25MiB'?",
         "25mib"),
        ("greylist.left > 5min", "there is no unit 'min'", f"{UNITS}\ndid you mean '5m'?", "5min"),
        ("message.size > 9999999GiB", "is too large a number", "", "9999999GiB"),
        ("message.size == '25MiB'", "compares a size with text",
         "A number stands without quotes, a text in quotes.", "'25MiB'"),
        ("5m", "is a time, not a condition", "Compare it.", "5m"),
        ("greylist.name == 5m", "compares text with a time",
         "A number stands without quotes, a text in quotes.", "5m"),
        ("peer.ip in '192.0.2.0/33'", "'192.0.2.0/33' is no network", "Write '192.0.2.0/24'.",
         "'192.0.2.0/33'"),
        ("peer.ip in ['192.0.2.0/24', 'example.org']", "'example.org' is no network",
         "Write '192.0.2.0/24'.", "'example.org'"),
        ("peer.ip != '192.0.2.0/24'", "an address never equals a network",
         "Write peer.ip not in '192.0.2.0/24'.", "'192.0.2.0/24'"),
        ("sender in lists.vip", "there is no list 'vip'", f"{KNOWN}\ndid you mean 'vips'?",
         "lists.vip"),
        ("sender in lists.zzz", "there is no list 'zzz'",
         f"{KNOWN}\nA list is a file beside the policies: lists/zzz{FILES}", "lists.zzz"),
        ("sender in lists", "'lists' is no list itself",
         f"A list is a file beside the policies: lists/NAME{FILES}", "lists"),
        ("sender in lists.partners", "lists.partners holds domains; 'sender' is a whole fact",
         "Write sender.domain.", "sender"),
        ("peer in lists.offices", "lists.offices holds networks; 'peer' is a whole fact",
         "Write peer.ip.", "peer"),
        ("message.size in lists.tier", "lists.tier holds keys; 'message.size' is a size",
         "Ask for a text such as from.domain.", "message.size"),
        ("score in lists.vips", "lists.vips holds addresses; 'score' is number",
         "Ask for a text such as from.domain.", "score"),
        ("lists.vips[sender] == 'x'",
         "lists.vips holds addresses, and only a map is asked by a key",
         "Write sender in lists.vips.", "lists.vips[sender]"),
        ("lists.tier[score] == 'x'", "lists.tier holds keys; 'score' is number",
         "Ask for a text such as from.domain.", "score"),
        ("lists.vips", "is a named list, not a condition", "Write NAME in lists.NAME.",
         "lists.vips"),
        ("not lists.vips", "'lists.vips' is a named list, not a condition",
         "Write NAME in lists.vips.", "lists.vips"),
        ("sender.domain == lists.partners", "compares text with a named list",
         "Write NAME in lists.NAME.", "lists.partners"),
        ("greylist.name[0] == 'x'", "'greylist.name[0]' is not of this language",
         "Names, 'text', numbers, [lists], and or not, == != < <= > >= in, + - * /, functions.",
         "greylist.name[0]"),
        ("matches(greylist.name, '(')", "the pattern cannot be read: missing ): (",
         "The syntax: https://github.com/google/re2/wiki/Syntax", "'('"),
        ("matches(greylist.name, '(?=x)')",
         "'(?=' looks ahead or behind, which takes no bounded time",
         "The syntax: https://github.com/google/re2/wiki/Syntax", "'(?=x)'"),
        ("matches(greylist.name, '')", "an empty pattern is found in every text",
         "The syntax: https://github.com/google/re2/wiki/Syntax", "''"),
        ("matches(greylist.name, greylist.name)",
         "it is written matches(TEXT, 'regular expression')", "",
         "matches(greylist.name, greylist.name)"),
        ("under(greylist.name, '')", "'' is no domain", "under(NAME, 'example.org')", "''"),
        ("greylist.name == example.org", "nothing here is called 'example.org'",
         "Text stands in quotes: 'example.org'.", "example.org"),
        ("greylist.wait == true", "nothing here is called 'true'",
         "Write True or False; a field that is true or false needs no ==.", "true"),
        ("greylist.name in ['a' 'b']", "two texts stand side by side",
         "Is a comma missing?  Write ['a', 'b'].", "'b'"),
        ("greylist.name == '''a'''", "a text stands between two quotes", "Write 'text'.", "'''"),
        ("greylist.name == 'a", "a text has no end", "A text stands between two quotes: 'x'.",
         "'"),
        ("greylist.wait AND score > 1", "'AND' is written in small letters",
         "Write and, or, not, in.", "AND"),
        ("score => 1", "'=>' is not of this language", "Write >=, <= or !=.", "=>"),
        ("greylist.name =~ 'x'", "'=~' is not of this language",
         "Write matches(TEXT, 'regular expression').", "=~"),
        ("greylist.name === 'x'", "'===' is not of this language", "Write == to compare.", "==="),
        ("greylist.name == pass", "nothing here is called 'pass'",
         "Text stands in quotes: 'pass'.", "pass"),
    ],
)  # fmt: skip
def test_mistake_is_told_whole_with_its_place(text, sentence, hint, caret):
    assert misfit(text) == (sentence, hint, caret)


def test_missing_library_is_told_with_the_way_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "re2":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert misfit("matches(greylist.name, 'x')")[:2] == (
        "regular expressions need google-re2, which is not installed",
        "Install it: pip install 'millrace[regexp]'",
    )


def test_condition_may_go_over_lines_and_hold_comments():
    text = """
        greylist.wait      # a new sender
        and score > 5      # 'quoted' = nonsense
        and greylist.name != 'a # b'
    """
    assert value(text) is True


def test_place_in_a_condition_of_many_lines_is_the_characters_own():
    text = "\n  greylist.wait  # é\n  and scor > 5"
    with pytest.raises(Misfit) as caught:
        compile_condition(text, NAMES, LISTS)
    assert text[caught.value.offset :].startswith("scor > 5")


def test_names_are_told_with_the_place_where_they_stand_first():
    found = compile_text(" score > 5 and greylist.wait and score < 9", NAMES, LISTS)
    assert found.where == {"score": 1, "greylist": 15}


def test_size_of_a_mail_is_octets_and_a_wait_is_seconds():
    assert fields_of(Message)["size"].unit == "octets"
    assert fields_of(Greylist)["left"].unit == "seconds"


# --- header fields

SECTION = Headers([(b"Subject", b" =?utf-8?q?R=C3=A9sum=C3=A9?="), (b"List-Id", b" <a.example>"),
                   (b"List-Id", b" <b.example>"), (b"X-Empty", b"")])  # fmt: skip
MAIL = {"headers": SECTION, "from": Sender(Address("ann", "example.org"))}
HEADED = {"headers": record(Headers), "from": record(Sender)}


def headed(text: str, **more: Any) -> Any:
    listed = lists(phrases=("patterns", {"Résumé": ""}))
    return compile_text(text, HEADED, listed).run({**MAIL, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("headers.subject == 'Résumé'", True),
        ("matches(headers.subject, '^R.sum')", True),
        ("headers.subject in lists.phrases", True),
        ("headers.count == 4 and headers.hops == 0", True),
        ("header('list-id')", "<a.example>"),
        ("header('Subject') == headers.subject", True),
        ("header('X-None')", None),
        ("header('X-None') == ''", False),
        ("has_header('X-None') or has_header('List-ID')", True),
        ("has_header('X-Empty')", True),
        ("not header('X-Empty')", True),
        ("matches(header('X-None'), '.')", False),
        ("lower(header('List-Id')) == '<a.example>'", True),
    ],
)
def test_conditions_see_header_fields(text, expected):
    assert headed(text) == expected


def test_where_no_header_is_known_yet_there_is_none():
    found = compile_text("not header('X') and not has_header('X') and not headers", HEADED)
    assert found.run({}) is True


def test_a_header_field_is_asked_of_the_header_section():
    assert compile_text("header('X') == 'a'", HEADED).names == {"headers"}


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("matches(subject, 'x')", "nothing here is called 'subject'", "Write headers.subject."),
        ("domain == 'x'", "nothing here is called 'domain'", "Write from.domain."),
        ("header(from.domain) == 'a'", "a header field is named by a text in quotes",
         "Write header('List-Id')."),
        ("header('List-Id:') == 'a'", "'List-Id:' is no name of a header field",
         "Write header('List-Id')."),
        ("has_header('é')", "'é' is no name of a header field", "Write has_header('List-Id')."),
        ("header() == 'a'", "header is written header('List-Id')", ""),
        ("headers['List-Id'] == 'a'", "'headers['List-Id']' is not of this language",
         "Write header('List-Id')."),
        ("headers.list_id == 'a'", "'headers' has no field 'list_id'",
         "one of: count hops subject\nA field of the mail is written header('List-Id')."),
        ("header('List-Id')", "is text, not a condition",
         "Compare it, or ask whether it is there: has_header('List-Id')."),
    ],
)  # fmt: skip
def test_mistakes_with_header_fields_tell_what_to_write(text, sentence, hint):
    with pytest.raises(Misfit) as caught:
        compile_condition(text, HEADED)
    assert (caught.value.sentence, caught.value.hint) == (sentence, hint)


def test_a_header_field_cannot_be_asked_where_no_mail_is_known():
    with pytest.raises(Misfit, match="reads 'headers', which is not known here"):
        compile_text("has_header('X')", NAMES)


def test_a_whole_address_that_is_compared_is_told_how_to_ask_for_it():
    with pytest.raises(Misfit) as caught:
        compile_text("from == 'ann@example.org'", HEADED)
    assert caught.value.hint == "Write from.domain or from.local, or from in lists.NAME."
