"""Lists that nothing reads, and rules whose day is over."""

import datetime
import re
from dataclasses import dataclass

import pytest
from listed import lists

from millrace.engine.document import Document
from millrace.engine.errors import Place
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.policy.analysis import upkeep
from millrace.engine.policy.expr import compile_condition
from millrace.engine.policy.listing import EXAMPLES

TODAY = datetime.date(2026, 11, 23)
TEXT = '[[rule]]\nname = "old"\nwhen = "x"\nthen = "tag"\n'


@dataclass
class Ruled:
    expires: datetime.date | None
    owner: str = "ann"
    name: str = "old"
    place: Place = Place("law.toml", 1, 1)


@dataclass
class Law:
    rules: tuple[Ruled, ...]
    weights: tuple[Ruled, ...] = ()


def expired(law: Law) -> list[str]:
    found = upkeep.expired(law, Document(TEXT, "law.toml"), TODAY)
    return [str(finding.fault) for finding in found]


def test_rule_past_its_day_is_told_with_its_owner():
    assert expired(Law((Ruled(datetime.date(2026, 11, 22)),))) == [
        'law.toml:1:1  rule "old" expired on 2026-11-22 and no longer counts\n'
        "    Remove it, or give it a later day; ask ann."
    ]


def test_weight_past_its_day_is_told_too():
    (told,) = expired(Law((), (Ruled(datetime.date(2026, 11, 22), ""),)))
    assert told.startswith('law.toml:1:1  weight "old" expired on 2026-11-22')
    assert told.endswith("    Remove it, or give it a later day.")


def test_rule_of_today_or_without_a_day_counts_on():
    assert expired(Law((Ruled(TODAY), Ruled(None)))) == []


def test_list_that_nobody_reads_is_told():
    found = {"vips": Place("policies/lists/vips.addresses"), "tier": Place("t.map")}
    found = upkeep.unread(found, {"vip", "tier"})
    assert [str(finding.fault) for finding in found] == [
        "policies/lists/vips.addresses  list 'vips' is read by no rule\n"
        '    Use it   when = "sender in lists.vips"   or remove the file.'
    ]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_list_that_nothing_reads_is_told_with_a_condition_of_its_kind(kind):
    (finding,) = upkeep.unread({"mine": Place(f"policies/lists/mine.{kind}")}, ())
    (text,) = re.findall('when = "(.*)"', finding.fault.hint)
    kinds = {name: word.kind for name, word in vocabulary(()).items()}
    assert compile_condition(text, kinds, lists(mine=(kind, {}))).lists == {"mine"}
