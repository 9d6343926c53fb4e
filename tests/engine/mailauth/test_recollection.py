"""What was found is found again while the DNS says the very same, and no longer."""

import asyncio
from typing import Any

from fakes import FakeDns

from millrace.engine.mailauth import spf
from millrace.engine.mailauth.recollection import ANSWERS_MAX, KEPT_MAX, Recollections
from millrace.engine.ports import Answer

FIRST, SECOND = ("a.example", "TXT"), ("b.example", "TXT")


def table() -> dict[Any, Any]:
    return {FIRST: Answer("found", (b"1",), 300), SECOND: Answer("found", (b"2",), 300)}


def recalled(kept: Recollections[str], dns: FakeDns, key: str = "key") -> Any:
    return asyncio.run(kept.recall(key, dns))


def test_the_very_answers_bring_the_finding_back():
    kept: Recollections[str] = Recollections()
    answers = table()
    kept.keep("key", answers, "pass")
    assert recalled(kept, FakeDns(answers)) == ("pass", {})
    assert recalled(kept, FakeDns(answers), "another") == (None, {})


def test_a_new_answer_ends_it_even_where_it_says_the_same():
    kept: Recollections[str] = Recollections()
    answers = table()
    kept.keep("key", answers, "pass")
    later = {**answers, SECOND: Answer("found", (b"2",), 300)}
    finding, fresh = recalled(kept, FakeDns(later))
    assert finding is None
    assert fresh == later


def test_where_the_first_answer_is_new_nothing_else_is_asked():
    kept: Recollections[str] = Recollections()
    answers = table()
    kept.keep("key", answers, "pass")
    dns = FakeDns({**answers, FIRST: Answer("nodata")})
    finding, fresh = recalled(kept, dns)
    assert finding is None
    assert fresh == {FIRST: Answer("nodata")}
    assert dns.asked == [FIRST]


def test_it_is_bounded_in_keys_and_answers():
    kept: Recollections[str] = Recollections()
    answers = table()
    for number in range(KEPT_MAX):
        kept.keep(number, answers, "pass")
    kept.keep("one more", answers, "pass")
    assert recalled(kept, FakeDns(answers), 0) == (None, {})  # type: ignore[arg-type]
    many = {(f"{n}.example", "A"): Answer("nodata") for n in range(ANSWERS_MAX + 1)}
    kept.keep("many", many, "pass")
    assert recalled(kept, FakeDns(many), "many") == (None, {})


def checked(dns: FakeDns, sender: str = "ann@sender.example", ip: str = "192.0.2.7") -> str:
    domain = sender.rpartition("@")[2]
    return asyncio.run(spf.check(ip, sender, domain, "mx.sender.example", dns)).result


def spf_table(record: bytes) -> dict[Any, Any]:
    return {
        ("sender.example", "TXT"): Answer("found", (record,), 300),
        ("ann.sender.example", "A"): Answer("found", ("192.0.2.7",), 300),
    }


def test_spf_of_the_same_peer_and_domain_is_not_evaluated_again(monkeypatch):
    dns = FakeDns(spf_table(b"v=spf1 ip4:192.0.2.0/24 -all"))
    assert checked(dns) == "pass"
    monkeypatch.setattr(spf, "_evaluated", None)  # whoever evaluated now would fail
    assert checked(dns, "bob@sender.example") == "pass"


def test_spf_of_another_peer_or_after_a_change_is_evaluated():
    dns = FakeDns(spf_table(b"v=spf1 ip4:192.0.2.0/24 -all"))
    assert checked(dns) == "pass"
    assert checked(dns, ip="203.0.113.9") == "fail"
    assert checked(FakeDns(spf_table(b"v=spf1 -all"))) == "fail"


def test_spf_that_looks_at_the_sender_is_evaluated_for_each():
    dns = FakeDns(spf_table(b"v=spf1 exists:%{l}.sender.example -all"))
    assert checked(dns) == "pass"
    assert checked(dns, "bob@sender.example") == "fail"
