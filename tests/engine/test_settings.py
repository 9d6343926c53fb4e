"""Settings: which layer wins, who said so, and what is refused."""

from pathlib import Path

import pytest

from millrace.engine import bounds
from millrace.engine.errors import Misconfigured
from millrace.engine.settings import Settings, all_options, discover, load


def wrote(folder: Path, text: str) -> Path:
    path = folder / "millrace.toml"
    path.write_text(text, "utf-8")
    return path


def faults(path: Path | None, environment=None, overrides=None) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        load(path, environment, overrides)
    return [str(fault) for fault in caught.value.faults]


def test_each_layer_beats_the_one_below_and_says_so(tmp_path):
    path = wrote(tmp_path, '[dns]\ntimeout = "3s"')
    layers = [
        (load(None), 2.0, "default"),
        (load(path), 3.0, f"{path}:2:1"),
        (load(path, {"MILLRACE_DNS_TIMEOUT": "4s"}), 4.0, "environment MILLRACE_DNS_TIMEOUT"),
        (
            load(path, {"MILLRACE_DNS_TIMEOUT": "4s"}, {"dns.timeout": "5s"}),
            5.0,
            "command line",
        ),
    ]
    for found, value, origin in layers:
        assert (found.dns.timeout, found.origins["dns.timeout"]) == (value, origin)


def test_profile_sets_what_nobody_else_set(tmp_path):
    assert load(None).scanner.when_absent == "skip"
    assert load(None).origins["scanner.when_absent"] == "profile development"
    path = wrote(tmp_path, 'profile = "production"')
    assert load(path).scanner.when_absent == "on_error"
    assert load(path, {"MILLRACE_PROFILE": "development"}).scanner.when_absent == "skip"
    path = wrote(tmp_path, '[scanner]\nwhen_absent = "on_error"')
    assert load(path).scanner.when_absent == "on_error"


def test_paths_count_from_the_folder_of_the_file(tmp_path):
    found = load(wrote(tmp_path, '[archive]\npath = "kept"'))
    assert found.at(found.archive.path) == tmp_path / "kept"
    assert found.source == str(tmp_path / "millrace.toml")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("dns.servers", "192.0.2.1, 192.0.2.2:5353", ("192.0.2.1", "192.0.2.2:5353")),
        ("dns.tries", "5", 5),
        ("limits.message", "1MiB", 1 << 20),
        ("dns.zone", "z.json", Path("z.json")),
        ("pipelines", "here", Path("here")),
    ],
)
def test_text_from_outside_is_read_as_the_setting_s_type(name, text, value):
    for found in (
        load(None, {"MILLRACE_" + name.replace(".", "_").upper(): text}),
        load(None, None, {name: text}),
    ):
        inner = found
        for part in name.split("."):
            inner = getattr(inner, part)
        assert inner == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("colour = 1", "{}:1:1  unknown key 'colour'"),
        ("[dsn]\nx = 1", "{}:1:1  unknown key 'dsn'"),
        ("[dns]\ntimout = 1", "{}:2:1  unknown key 'timout' in [dns]"),
        ("dns = 5", "{}:1:1  'dns' is a table, written [dns]"),
        ("[dns]\ntimeout = 5", "{}:2:1  dns.timeout: wants a time"),
        ("workers = 0", "{}:1:1  workers: wants 1 or more, not 0"),
        ("workers = -1", "{}:1:1  workers: wants 1 or more, not -1"),
        ("workers = 100000", "{}:1:1  workers: wants 1000 or less, not 100000"),
        ("[limits]\nconnections = 0", "{}:2:1  limits.connections: wants 1 or more"),
        ('[limits]\nhung = "1ms"', "{}:2:1  limits.hung: wants 2 s or more, not 0.001"),
        ('[limits]\nidle = "0s"', "{}:2:1  limits.idle: wants 0.001 s or more, not 0"),
        ("[state]\nconnections = 0", "{}:2:1  state.connections: wants 1 or more"),
        ('profile = "prod"', "{}:1:1  profile: can never be 'prod'"),
        ('[listener]\nkind = "milter"', "{}:1:1  'listener' is written [[listener]]"),
        ('listener = ["x"]', "{}:1:1  'listener' is written [[listener]]"),
        ('[[listener]]\nkind = "milter"', "{}:1:1  'address' is missing here"),
        (
            '[[listener]]\nkind = "imap"\naddress = "inet:1@h"',
            "{}:2:9  kind: can never be 'imap'",
        ),
        (
            '[[listener]]\nkind = "smtp"\naddress = "inet:1@h"\nadress = 1',
            "{}:4:1  unknown key 'adress'",
        ),
    ],
)
def test_each_fault_of_a_file_has_its_place(tmp_path, text, fault):
    path = wrote(tmp_path, text)
    (found,) = faults(path)
    assert found.startswith(fault.format(path))


@pytest.mark.parametrize(
    ("environment", "overrides", "fault"),
    [
        (
            {"MILLRACE_DNS_TIMOUT": "1s"},
            None,
            "environment: MILLRACE_DNS_TIMOUT sets nothing\n    did you mean MILLRACE_DNS_TIMEOUT?",
        ),
        (None, {"dns.timout": "1s"}, "--set dns.timout: there is no such setting"),
        (
            {"MILLRACE_DNS_TIMEOUT": "5"},
            None,
            "environment MILLRACE_DNS_TIMEOUT: dns.timeout wants a time",
        ),
        ({"MILLRACE_WORKERS": "0"}, None, "environment MILLRACE_WORKERS: workers wants 1 or more"),
        (None, {"dns.tries": "0"}, "command line: dns.tries wants 1 or more, not 0"),
        (None, {"dns.tries": "many"}, "command line: dns.tries wants a whole number"),
    ],
)
def test_each_fault_from_outside_names_its_origin(environment, overrides, fault):
    (found,) = faults(None, environment, overrides)
    assert found.startswith(fault)


def test_every_fault_is_told_at_once(tmp_path):
    path = wrote(tmp_path, 'colour = 1\n[dns]\ntimeout = 5\n[[listener]]\nkind = "x"')
    assert len(faults(path, {"MILLRACE_X": "1"})) == 5


def test_other_variables_of_the_environment_are_left_alone():
    assert load(None, {"PATH": "/bin", "MILLRACE_CONFIG": "x"}).dns == Settings().dns


def test_listeners_are_read_in_order(tmp_path):
    text = "".join(
        f'[[listener]]\nkind = "{kind}"\naddress = "inet:0@127.0.0.1"\n'
        for kind in ("milter", "smtp")
    )
    assert [each.kind for each in load(wrote(tmp_path, text)).listener] == ["milter", "smtp"]


def test_named_file_comes_before_the_one_that_lies_about(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert discover({}) in (None, Path("/etc/millrace/millrace.toml"))
    wrote(tmp_path, "")
    assert discover({}) == Path("millrace.toml")
    assert discover({"MILLRACE_CONFIG": "/x.toml"}) == Path("/x.toml")


def test_every_setting_says_what_it_is():
    assert [name for name, option in all_options().items() if not option.help] == []


def test_every_bound_is_one_of_a_setting_and_holds_for_its_default():
    names = {**bounds._LEAST, **bounds._MOST}
    assert set(names) <= set(all_options())
    for name in names:
        value = Settings()
        for part in name.split("."):
            value = getattr(value, part)
        assert bounds.trouble(name, value) == ""
