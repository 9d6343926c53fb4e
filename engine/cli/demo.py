"""The demo: both doors on free ports, everything embedded, a Maildir to look into."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from millrace.engine import settings as layers
from millrace.engine.cli.init import files
from millrace.engine.settings import Archive, Http, Listener, Log, Settings, State

FOLDER = Path("demo")
WAIT_S = 10


def settings(overrides: tuple[str, ...]) -> Settings:
    """Settings for a first look; all that it reads and writes is in ./demo."""
    for path, text in files(FOLDER):
        if path.suffix == ".toml" and path.parent != FOLDER and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace('wait = "5m"', f'wait = "{WAIT_S}s"'), "utf-8")
    named = dict(pair.split("=", 1) for pair in overrides if "=" in pair)
    base = layers.load(None, {}, {"profile": "development", **named})
    return replace(
        base,
        folder=FOLDER,
        listener=(
            Listener("milter", "inet:0@127.0.0.1"),
            Listener(
                "smtp", "inet:0@127.0.0.1", deliver="maildir:Maildir", hostname="demo.millrace.test"
            ),
        ),
        http=Http("inet:0@127.0.0.1"),
        state=State("embedded:state.db"),
        archive=Archive(Path("archive")),
        log=Log(base.log.format, base.log.level, Path("decisions.jsonl")),
    )


def try_it(ports: Mapping[str, int]) -> str:
    """Ready-made commands, with the ports that are open, by the kind of door."""
    mail = "From: you@example.org\\nSubject: hello\\n\\nIs anybody there?"
    python = (
        f"import smtplib; smtplib.SMTP('127.0.0.1', {ports['smtp']})"
        f".sendmail('you@example.org', 'ann@example.net', '{mail}')"
    )
    return f"""
Send it a mail (a new sender is asked to come again after {WAIT_S} seconds: send it twice):
  swaks --server 127.0.0.1:{ports["smtp"]} --from you@example.org --to ann@example.net
or, without swaks:
  python3 -c "{python}"

What was taken     ls {FOLDER}/Maildir/new
                   {_command()} archive list --set archive.path={FOLDER}/archive
What was decided   tail {FOLDER}/decisions.jsonl
Change the rules   edit {FOLDER}/policies/default.toml, then
                   curl -X POST http://127.0.0.1:{ports["http"]}/reload
Beside Postfix     postconf -e smtpd_milters=inet:127.0.0.1:{ports["milter"]}
Health             curl http://127.0.0.1:{ports["http"]}/readyz

Ctrl-C ends it."""


def _command() -> str:
    """How this very command is called again."""
    return "millrace" if shutil.which("millrace") else sys.argv[0]
