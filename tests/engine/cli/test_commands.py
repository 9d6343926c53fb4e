"""The commands as a postmaster calls them: what is printed, and the exit status."""

import base64
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from millrace.engine import cli as cli_module

MAIL = b"From: a@b.example\r\nSubject: hi\r\n\r\nhello\r\n"
DNS = {"b.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]}}
NOW = "2026-11-23T12:00:00Z"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Call millrace in an empty folder; errors get their exit status as in a shell."""
    monkeypatch.chdir(tmp_path)
    for name in ("MILLRACE_CONFIG", "MILLRACE_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, **more) -> Result:
        monkeypatch.setattr("sys.argv", ["millrace", *arguments])
        runner = CliRunner()
        with runner.isolation(**more) as streams:
            status = 0
            try:
                cli_module.main()
            except SystemExit as end:
                status = end.code or 0
            out, err = streams[0].getvalue(), streams[1].getvalue()
        return Result(runner, out, err, out + err, None, status, None)

    return call


def wrote(name: str, data: bytes | str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def test_version_is_one_line(run):
    found = run("--version")
    assert found.exit_code == 0
    assert re.fullmatch(r"millrace \d+\.\d+\.\d+\S*\n", found.stdout)


def test_unknown_command_is_wrong_usage(run):
    found = run("chek")
    assert found.exit_code == 2
    assert "chek" in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize("command", sorted(cli_module.COMMANDS.keys() - {"model"}))
def test_every_command_explains_itself_with_examples(run, command):
    found = run(command, "--help")
    assert found.exit_code == 0
    assert "Examples" in found.stdout


def test_folder_that_init_wrote_passes_its_check(run):
    first = run("init", "new")
    assert first.exit_code == 0
    assert first.stdout.count("written ") == 4
    again = run("init", "new")
    assert again.stdout.count("left alone ") == 4
    checked = run("check", "--config", "new/millrace.toml")
    assert checked.exit_code == 0, checked.output
    assert re.match(r"inbound: \d+ filters · policy default \(.* \d+ tests pass\)", checked.stdout)


def test_check_tells_every_fault_and_answers_no(run):
    run("init")
    wrote("policies/default.toml", '[[rule]]\nname = "r"\nwhen = "spd"\nthen = "rejct"\n')
    found = run("check")
    assert found.exit_code == 1
    assert "policies/default.toml:3:9  nothing here is called 'spd'" in found.output
    assert "policies/default.toml:4:9  then can never be 'rejct'" in found.output
    assert found.output.endswith("2 problems in 1 file.\n")


def test_check_refuses_red_tests_and_wrong_settings(run):
    run("init")
    wrote("policies/default.test.toml", '[[case]]\nname = "n"\nexpect = "reject"\n')
    found = run("check")
    assert (found.exit_code, "expected reject, got pass" in found.output) == (1, True)
    wrote("millrace.toml", "colour = 1\n")
    found = run("check")
    assert (found.exit_code, "unknown key 'colour'" in found.output) == (1, True)


def test_wrong_configuration_of_other_commands_is_status_two(run):
    wrote("millrace.toml", "colour = 1\n")
    found = run("plan")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.splitlines()[0] == "millrace.toml:1:1  unknown key 'colour'"


def test_plan_shows_stages_edges_and_what_the_mta_is_asked_for(run):
    found = run("plan", "inbound")
    assert found.exit_code == 0
    assert "the MTA is asked for: connect helo mail rcpt headers body" in found.stdout
    assert re.search(r"MAIL +└─ spf +dns", found.stdout)
    assert re.search(r"dmarc +dns +after spf, dkim", found.stdout)
    assert re.search(r"greylist +state +.*per recipient", found.stdout)
    assert re.search(r"archive +store +.*only mail that we take", found.stdout)
    assert '"spf" -> "dmarc";' in run("plan", "--dot").stdout
    mermaid = run("plan", "--mermaid").stdout
    assert mermaid.startswith("flowchart LR\n")
    assert "  dkim --> dmarc\n" in mermaid


def test_config_show_says_who_chose_each_value(run):
    wrote("millrace.toml", '[dns]\ntimeout = "3s"\n')
    found = run(
        "config", "show", "--origin", "--set", "dns.tries=5", env={"MILLRACE_LOG_LEVEL": "debug"}
    )
    lines = {line.split()[0]: line for line in found.stdout.splitlines()}
    assert lines["dns.timeout"].endswith("millrace.toml:2:1")
    assert lines["dns.tries"].endswith("command line")
    assert lines["log.level"].endswith("environment MILLRACE_LOG_LEVEL")
    assert lines["dns.budget"].endswith("default")
    data = json.loads(run("config", "show", "--json").stdout)
    assert data["settings"]["dns.timeout"] == {"value": 3.0, "origin": "millrace.toml:2:1"}


def explain(run, *more: str) -> Result:
    wrote("mail.eml", MAIL)
    wrote("zone.json", json.dumps(DNS))
    who = ("--ip", "192.0.2.7", "--helo", "mx.b.example", "--from", "a@b.example")
    return run("explain", "mail.eml", *who, "--to", "ann@example.net", "--dns", "zone.json",
               "--now", NOW, *more)  # fmt: skip


def test_explain_gives_the_facts_as_others_read_them(run):
    found = explain(run, "--json")
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert {"id", "revision", "action", "reply", "because", "score", "facts", "edits", "filters",
            "ms"} <= data.keys()  # fmt: skip
    assert data["facts"]["spf"].items() >= {
        "result": "pass", "scope": "mfrom", "domain": "b.example"}.items()  # fmt: skip
    assert data["facts"]["dkim"] == {"result": "none", "signatures": []}
    assert data["facts"]["dmarc"]["result"] == "none"
    assert data["facts"]["dmarc"]["aligned"].keys() == {"spf", "dkim"}
    assert data["facts"]["spam"].keys() >= {"probability", "model"}
    assert {run["name"] for run in data["filters"]} >= {"spf", "dkim", "dmarc", "archive"}
    assert {run["state"] for run in data["filters"]} <= {
        "ran", "skipped", "failed", "timed-out", "not-reached"}  # fmt: skip
    assert any(edit["name"] == "Authentication-Results" for edit in data["edits"])
    assert data["score"]["total"] == round(sum(t["add"] for t in data["score"]["terms"]), 3)


def test_explain_gives_the_same_answer_again(run):
    answers = [json.loads(explain(run, "--json").stdout) for _ in range(2)]
    for data in answers:
        data.pop("ms")
        data.pop("id")
        data["session"].pop("id")
        for each in data["filters"]:
            each.pop("ms")
    # the id of a rehearsal is a serial number
    assert answers[0]["facts"] == answers[1]["facts"]
    assert answers[0]["action"] == answers[1]["action"]


def test_explain_for_people_begins_with_the_answer(run):
    found = explain(run)
    assert found.exit_code == 0
    assert re.match(r"[A-Z]+", found.stdout)
    assert re.search(r"^ +spf +pass", found.stdout, re.M)


def test_exit_status_tells_a_refusal_when_asked(run):
    run("init")
    wrote("policies/default.toml", '[[rule]]\nname = "r"\nwhen = "spf"\nthen = "reject"\n')
    Path("policies/default.test.toml").unlink()
    assert explain(run).exit_code == 0
    assert explain(run, "--exit-verdict").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain",),
        ("explain", "none.eml"),
        ("explain", "mail.eml", "--ip", "x"),
        ("explain", "mail.eml", "--now", "soon"),
        ("explain", "mail.eml", "--to", "a b"),
        ("explain", "mail.eml", "--dns", "none.json"),
        ("explain", "mail.eml", "--pipeline", "none"),
        ("explain", "--batch", "none.jsonl"),
    ],
)
def test_wrong_calls_of_explain_say_so_and_end_with_two(run, arguments):
    wrote("mail.eml", MAIL)
    found = run(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr


def batch(run, cases: list, *more: str) -> list[dict]:
    wrote("folder/mail.eml", MAIL)
    lines = [case if isinstance(case, str) else json.dumps(case) for case in cases]
    wrote("folder/cases.jsonl", "\n".join(lines) + "\n\n")
    found = run("explain", "--batch", "folder/cases.jsonl", "--json", *more)
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


def case(name, **more) -> dict:
    given = {"id": name, "mail": "mail.eml", "ip": "192.0.2.7", "helo": "mx", "from": "a@b.example",
             "to": ["ann@example.net"], "dns": DNS, "now": NOW}  # fmt: skip
    return {**given, **more}


BAD = [
    "no json",
    "[1]",
    case("b", mail="none.eml"),
    case("b", mail=5),
    case("b", mail=None, raw="!"),
    case("b", mail=None, raw=5),
    case("b", ip="x"),
    case("b", now="soon"),
    case("b", to=[5]),
    case("b", to=5),
    case("b", helo=5),
    case("b", dns=[1]),
    case("b", dns=5),
    case("b", dns="none.json"),
    case("b", dns={"a": 5}),
    case("b", **{"from": "a b"}),
    case("b", login={"a": 1}),
]


def test_bad_case_is_an_error_line_and_the_batch_goes_on(run):
    cases = [case("first"), *BAD, case("last")]
    found = batch(run, cases)
    assert len(found) == len(cases)
    assert [found[0]["id"], found[-1]["id"]] == ["first", "last"]
    assert [index for index, line in enumerate(found) if "error" not in line] == [0, len(cases) - 1]
    assert all(line["id"] in ("", "b") and line["error"] for line in found[1:-1])


def test_raw_mail_and_envelope_alone_are_cases_too(run):
    raw = base64.b64encode(MAIL).decode()
    whole, envelope = batch(run, [case("raw", mail=None, raw=raw), case("none", mail=None)])
    assert whole["size"] == len(MAIL)
    states = {each["name"]: each["state"] for each in envelope["filters"]}
    assert (states["spf"], states["dkim"]) == ("ran", "not-reached")
    assert envelope["facts"]["spf"]["result"] == "pass"


def test_state_goes_on_only_where_it_is_kept(run):
    spf = {"b.example": {"TXT": ["v=spf1 ?all"]}}
    later = "2026-11-23T12:10:00Z"
    cases = [
        case("new", dns=spf, state="keep"),
        case("fresh", dns=spf, now=later),
        case("back", dns=spf, now=later, state="keep"),
    ]
    found = [line["facts"]["greylist"]["state"] for line in batch(run, cases)]
    assert found == ["new", "new", "passed"]


def test_kept_state_goes_through_a_long_batch(run):
    spf = {"b.example": {"TXT": ["v=spf1 ?all"]}}
    first = case("new", dns=spf, mail=None, state="keep")
    last = {**first, "id": "back", "now": "2026-11-23T12:10:00Z"}
    found = batch(run, [first, *[case("x", mail=None, ip="") for _ in range(60)], last])
    states = [found[at]["facts"]["greylist"]["state"] for at in (0, -1)]
    assert states == ["new", "passed"]


def test_batch_over_processes_keeps_the_order(run):
    names = [f"c{n}" for n in range(120)]
    found = batch(run, [case(name, mail=None) for name in names], "--jobs", "2")
    assert [line["id"] for line in found] == names


def test_null_sender_is_checked_by_its_helo(run):
    (found,) = batch(run, [case("bounce", **{"from": ""}, mail=None)])
    assert found["facts"]["spf"]["scope"] == "helo"
    assert found["from"] == ""


def test_empty_archive_is_listed_and_whole(run):
    assert run("archive", "list").exit_code == 0
    assert run("archive", "verify").stdout == "0 mails are whole\n"
    found = run("archive", "cat", "none")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "no mail is called so" in found.stderr


def test_kept_mail_is_listed_and_written_byte_for_byte(run):
    import asyncio

    from millrace.engine.mail.address import Address
    from millrace.engine.mail.edits import Edited
    from millrace.engine.mail.envelope import Envelope, Recipient, Sender
    from millrace.engine.mail.message import Message
    from millrace.engine.store.archive import Archive

    async def keep():
        store = Archive(Path("archive"))
        envelope = Envelope("4F2A", Sender(None), (Recipient(Address("ann", "example.net")),))
        await store.keep(Edited(envelope, Message.parse(MAIL)), 1_800_000_000.0, 0.0)
        await store.close()

    asyncio.run(keep())
    listed = json.loads(run("archive", "list", "--json").stdout)
    assert (listed["id"], listed["recipients"]) == ("4F2A", ["ann@example.net"])
    assert run("archive", "cat", "4F2A").stdout_bytes == MAIL
    assert run("archive", "cat", listed["sha256"][:10]).stdout_bytes == MAIL
    assert run("archive", "verify").stdout == "1 mails are whole\n"
