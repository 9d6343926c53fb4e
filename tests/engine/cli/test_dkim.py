"""The commands of signing keys, from making to retiring, offline by a zone file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.dkim import dkim


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zone.txt").write_text("")
    return tmp_path


def run(*arguments: str) -> Result:
    """One command, and the exit status that `main` would give."""
    result = CliRunner().invoke(dkim, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    result.exit_code = result.return_value or 0
    return result


def check(domain: str = "a.example") -> Result:
    return run("check", domain, "--set", "dns.zone=zone.txt")


def keep(folder: Path, records: str) -> None:
    with (folder / "zone.txt").open("a") as zone:
        zone.write(records)


def test_keys_are_made_for_us_alone_and_checked_against_the_dns(folder: Path) -> None:
    made = run("keygen", "a.example", "--selector", "s")
    keys = sorted((folder / "keys" / "a.example").iterdir())
    assert [path.name for path in keys] == ["se.pem", "sr.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert check().exit_code == 1
    assert "not published" in check().stdout
    keep(folder, made.stdout)
    assert check().exit_code == 0
    assert check().stdout.count("published as it is") == 2


def test_another_key_in_the_dns_is_told(folder: Path) -> None:
    records = run("keygen", "a.example", "--selector", "s", "--algorithm", "ed25519").stdout
    keep(folder, records.replace("p=", "p=AAAA"))
    assert check().exit_code == 1
    assert "another key is published" in check().stdout


def test_rotation_signs_with_new_keys_only_when_they_are_published(folder: Path) -> None:
    keep(folder, run("keygen", "a.example", "--selector", "old").stdout)
    new = run("rotate", "a.example").stdout
    early = run("rotate", "a.example", "--activate", "--set", "dns.zone=zone.txt")
    assert early.exit_code == 1
    assert sorted(p.name for p in (folder / "keys" / "a.example").glob("old*.pem"))
    keep(folder, new)
    done = run("rotate", "a.example", "--activate", "--set", "dns.zone=zone.txt")
    assert done.exit_code == 0
    told = check().stdout
    assert told.count(" signs ") == 2
    assert told.count(" retired ") == 2


def test_a_second_rotation_waits_for_the_first() -> None:
    run("keygen", "a.example", "--selector", "s")
    assert run("rotate", "a.example").exit_code == 0
    assert run("rotate", "a.example").exit_code == 1


@pytest.mark.parametrize("command", ["check", "publish", "rotate"])
def test_a_domain_without_keys_is_told_how_to_make_them(command: str) -> None:
    result = run(command, "none.example")
    assert result.exit_code == 1
    assert "millrace dkim keygen none.example" in result.stderr
