"""Results are counted by method and by the plain words of their reason."""

from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from millrace.engine.mail.finding import Fact
from millrace.engine.telemetry.results import REASONS_MAX, ResultCounter, gist


@dataclass(frozen=True, slots=True)
class Found(Fact):
    result: str
    reason: str = ""


class Silent(Fact):
    """A fact without a result."""


def counted(*facts: dict[str, Fact]) -> dict[tuple[str, str, str], float]:
    registry = CollectorRegistry()
    counter = ResultCounter(registry)
    for each in facts:
        counter.count(each)
    return {
        (s.labels["method"], s.labels["result"], s.labels["reason"]): s.value
        for family in registry.collect()
        for s in family.samples
        if s.name == "millrace_results_total"
    }


def test_two_mails_with_the_same_reason_are_one_series():
    found = counted(
        {"spf": Found("fail", "matched ip4:192.0.2.1"), "dkim": Found("none")},
        {"spf": Found("fail", "matched ip4:192.0.2.2"), "dkim": Found("none")},
    )
    assert found == {("spf", "fail", "matched"): 2, ("dkim", "none", ""): 2}


def test_a_fact_without_a_result_is_not_counted():
    assert counted({"archive": Silent()}) == {}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("only other domains speak for it: good.example", "only other domains speak for it"),
        ("evil.example publishes no policy", "publishes no policy"),
        ("DNS timeout for the key", "DNS timeout for the key"),
        ("RSA key of 512 bits", "RSA key of bits"),
        ("From is not signed.", "From is not signed"),
        ("x= lies before t=", "x= lies before t="),
        ('key\x00\n"; drop-table', "drop-table"),
        ("a" * 100_000, ""),
        ("", ""),
    ],
)
def test_a_reason_is_reduced_to_its_plain_words(reason, words):
    assert gist(reason) == words


def test_invented_reasons_end_as_other_and_leave_the_known_ones_alone():
    letters = [chr(97 + n // 26) + chr(97 + n % 26) for n in range(300)]
    mails = [{"dkim": Found("permerror", f"invented {word}")} for word in letters]
    found = counted({"dkim": Found("fail", "body has been altered")}, *mails, *mails)
    assert len(found) == REASONS_MAX + 1
    assert found["dkim", "permerror", "other"] == 2 * (300 - REASONS_MAX + 1)
    assert found["dkim", "fail", "body has been altered"] == 1
