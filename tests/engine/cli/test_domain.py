"""`millrace domain check`, offline by a zone file."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.domain import domain

MASTER = """
a.example.        IN TXT "v=spf1 mx -all"
a.example.        IN MX 10 mail.a.example.
mail.a.example.   IN A 192.0.2.7
xn--bcher-kva.example. IN TXT "v=spf1 +all"
slow.example.     IN A 192.0.2.9
"""


def run(folder: Path, *arguments: str, zone: str = MASTER) -> Result:
    (folder / "zone.txt").write_text(zone)
    given = ["check", *arguments, "--dns", str(folder / "zone.txt"), "--set", "keys.path=/nowhere"]
    result = CliRunner().invoke(domain, given, standalone_mode=False)
    result.exit_code = result.return_value or 0
    return result


def test_a_table_says_what_is_there_and_what_to_mend(tmp_path: Path) -> None:
    result = run(tmp_path, "a.example")
    assert result.exit_code == 0
    first, *rest = result.output.splitlines()
    assert first == "a.example: nothing is wrong"
    assert "  SPF      ok       v=spf1 mx -all" in rest
    assert max(map(len, rest)) <= 80
    assert "What to mend" in rest


def test_every_number_in_the_table_stands_in_the_list_below_it(tmp_path: Path) -> None:
    above, _, below = run(tmp_path, "a.example").output.partition("What to mend")
    numbers = [word for word in above.split() if word.startswith("[") and word.endswith("]")]
    assert numbers
    assert all(f"  {number}" in below for number in numbers)


def test_a_domain_in_its_own_script_is_found_and_its_fault_told(tmp_path: Path) -> None:
    result = run(tmp_path, "bücher.example")
    assert result.exit_code == 1
    assert "says that everybody may send" in result.output


def test_a_dns_that_does_not_answer_is_exit_status_three(tmp_path: Path) -> None:
    zone = json.dumps({"a.example": {"error": "servfail"}})
    result = run(tmp_path, "a.example", zone=zone)
    assert result.exit_code == 3
    assert result.output.startswith("a.example: the DNS did not answer for all")


def test_json_holds_the_same_lines(tmp_path: Path) -> None:
    data = json.loads(run(tmp_path, "a.example", "--json").output)
    assert (data["domain"], data["state"]) == ("a.example", "ok")
    assert {line["subject"] for line in data["lines"]} >= {"SPF", "DKIM", "DMARC", "MX", "TLSA"}


@pytest.mark.parametrize(
    "wrong", [["nodots"], ["a..example"], ["a.example", "--ip", "1.2.3"], ["a.example", "--selector", ""]]  # noqa: E501
)  # fmt: skip
def test_what_is_no_domain_or_address_is_wrong_usage(tmp_path: Path, wrong: list[str]) -> None:
    result = run(tmp_path, *wrong)
    assert type(result.exception).__name__ == "BadParameter"


def test_without_a_file_the_name_servers_are_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        wanted = [f"dns.servers={server}", "dns.timeout=20ms", "dns.tries=1", "keys.path=/nowhere"]
        given = [word for setting in wanted for word in ("--set", setting)]
        result = CliRunner().invoke(domain, ["check", "a.example", *given], standalone_mode=False)
        assert result.exception is None
        assert result.return_value == 3
        silent.setblocking(False)
        assert b"\x01a\x07example" in silent.recv(512)
