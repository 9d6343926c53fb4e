"""Lists that nothing reads, and rules whose day is over."""

import datetime
from dataclasses import dataclass

from millrace.engine.document import Document
from millrace.engine.errors import Place
from millrace.engine.policy.analysis import upkeep

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
    lists = {"vips": Place("policies/lists/vips.addresses"), "tier": Place("t.map")}
    found = upkeep.unread(lists, {"vip", "tier"})
    assert [str(finding.fault) for finding in found] == [
        "policies/lists/vips.addresses  list 'vips' is read by no rule\n"
        '    Use it   when = "sender in lists.vips"   or remove the file.'
    ]
