"""Domains and addresses in conditions: each way to write one means the same."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.engine.document import Document
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Sender
from millrace.engine.mail.session import Peer
from millrace.engine.mail.stage import Stage
from millrace.engine.mailauth.dkim import Signature
from millrace.engine.policy import trial
from millrace.engine.policy.expr import Misfit, compile_condition
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.rule import Word
from millrace.filters.dkim import Dkim

NAMES = {
    "peer": Kind("record", record=Peer),
    "sender": Kind("record", record=Sender),
    "dkim": Kind("record", record=Dkim),
}
CODED = "xn--bcher-kva.example"


def holds(text: str, domain: str = "example.org", ip: str = "192.0.2.7") -> Any:
    values = {
        "peer": Peer.at(ip),
        "sender": Sender(Address("Ann", domain) if domain else None),
        "dkim": Dkim("pass", (Signature("pass", domain, "s", "rsa-sha256"),)),
    }
    return compile_condition(text, NAMES).run(values)


def misfit(text: str) -> tuple[str, str, str]:
    with pytest.raises(Misfit) as caught:
        compile_condition(text, NAMES)
    found = caught.value
    return found.sentence, found.hint, text[found.offset : found.offset + found.width]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sender.domain == 'Example.ORG'", True),
        ("sender.domain == 'example.org.'", True),
        ("sender.domain != 'Example.ORG'", False),
        ("'Example.ORG' == sender.domain", True),
        ("sender.address.domain == 'Example.ORG'", True),
        ("sender.domain in ['example.net', 'Example.ORG']", True),
        ("sender.domain not in ['Example.ORG']", False),
        ("'Example.ORG' in dkim.domains", True),
        ("'Example.ORG' not in dkim.domains", False),
        ("'Ample.' in sender.domain", True),
        ("sender.local == 'ann'", False),
        ("sender.domain == ''", False),
    ],
)
def test_domain_has_no_case_however_a_condition_writes_it(text, expected):
    assert holds(text) is expected


@pytest.mark.parametrize("domain", ["bücher.example", CODED])
@pytest.mark.parametrize("written", ["Bücher.example", CODED, CODED.upper()])
def test_domain_in_its_own_script_is_the_one_of_its_coded_form(domain, written):
    assert holds(f"sender.domain == '{written}'", domain)
    assert holds(f"sender.domain in ['{written}']", domain)
    assert holds(f"under(sender.domain, '{written}')", f"mail.{domain}")
    assert holds(f"'{written}' in dkim.domains", domain)
    assert not holds(f"'{written}' not in dkim.domains", domain)


@pytest.mark.parametrize(
    ("text", "ip", "expected"),
    [
        ("peer.ip == '2001:DB8:0::1'", "2001:db8::1", True),
        ("peer.ip != '2001:DB8:0::1'", "2001:db8::1", False),
        ("peer.ip == '::ffff:192.0.2.7'", "192.0.2.7", True),
        ("peer.ip in '::ffff:192.0.2.0/120'", "::ffff:192.0.2.7", True),
        ("within(peer.ip, '::ffff:192.0.2.0/120')", "192.0.3.7", False),
        ("peer.ip in '::/0'", "192.0.2.7", False),
        ("peer.ip in ['', '127.0.0.1']", "", True),
        ("peer.ip == ''", "192.0.2.7", False),
    ],
)
def test_address_is_one_host_however_a_condition_writes_it(text, ip, expected):
    assert holds(text, ip=ip) is expected


@pytest.mark.parametrize(
    ("text", "sentence", "hint", "caret"),
    [
        ("sender.domain == '*.example.org'", "sender.domain can never be '*.example.org'",
         "Write under(sender.domain, 'example.org') for the domain and all below it.",
         "'*.example.org'"),
        ("sender.domain in ['a.example', '.b.example']", "sender.domain can never be '.b.example'",
         "Write under(sender.domain, 'b.example') for the domain and all below it.",
         "'.b.example'"),
        ("sender.domain == '@example.org'", "sender.domain can never be '@example.org'",
         "Write a domain: sender.domain == 'example.org'.", "'@example.org'"),
        ("sender.domain != 'ann@example.org'", "sender.domain can never be 'ann@example.org'",
         "Write sender.local == 'ann' and sender.domain == 'example.org'.", "'ann@example.org'"),
        ("peer.ip == '192.0.2'", "'192.0.2' is no address",
         "Write all of it: '192.0.2.7'.  A network: peer.ip in '192.0.2.0/24'.", "'192.0.2'"),
        ("peer.ip in ['192.0.2.*', '10.0.0.1']", "'192.0.2.*' is no address",
         "Write all of it: '192.0.2.7'.  A network: peer.ip in '192.0.2.0/24'.", "'192.0.2.*'"),
        ("peer.ip not in '192.0.2.*'", "after 'not in' comes a list; '192.0.2.*' is one text",
         "Write peer.ip not in '192.0.2.0/24'.", "'192.0.2.*'"),
        ("sender.domain in 'example.org'", "after 'in' comes a list; 'example.org' is one text",
         "Write sender.domain == 'example.org', or sender.domain in ['example.org', …].\n"
         "To look for a text in it: 'example.org' in sender.domain.", "'example.org'"),
        ("dkim.result not in 'fail'", "after 'not in' comes a list; 'fail' is one text",
         "Write dkim.result != 'fail', or dkim.result not in ['fail', …].", "'fail'"),
    ],
)  # fmt: skip
def test_constant_that_no_fact_can_be_is_told_whole(text, sentence, hint, caret):
    assert misfit(text) == (sentence, hint, caret)


@pytest.mark.parametrize(
    "given",
    [
        "{ address = { local = 'Ann', domain = 'Example.ORG' } }",
        "{ local = 'Ann', domain = 'Example.ORG' }",
    ],
)
def test_sender_of_a_test_is_the_same_told_whole_or_in_parts(given):
    text = f'[[case]]\nname = "x"\ngiven = {{ sender = {given} }}\nexpect = "pass"\n'
    words = {name: Word(kind, Stage.MAIL) for name, kind in NAMES.items()}
    (case,) = trial.load(Document(text, "law.test.toml"), words)
    asked = "sender.local == 'Ann' and sender.address.domain == 'example.org'"
    for each in (asked, "sender.address and sender.domain == 'Example.ORG'"):
        assert compile_condition(each, NAMES).run(case.given)
