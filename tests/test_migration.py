"""The page for those who come from another filter: what it shows of ours loads, and is clean."""

import re
from pathlib import Path

from millrace.engine import checking
from millrace.engine.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "contrib" / "docs" / "migration.md"


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)


def test_every_policy_on_the_page_loads_and_is_clean(tmp_path):
    (tmp_path / "policies/lists").mkdir(parents=True)
    (tmp_path / "policies/lists/partners.domains").write_text("partner.example\n")
    found = []
    for block in blocks():
        (tmp_path / "policies/page.toml").write_text(block)
        found += checking.check(Settings(folder=tmp_path), ["inbound"], "page").findings
    assert [str(finding.fault) for finding in found] == []
    assert len(blocks()) >= 6


def test_every_rule_on_the_page_has_a_written_reason():
    rules = "".join(blocks()).split("[[")[1:]
    assert [rule for rule in rules if "why " not in rule] == []
