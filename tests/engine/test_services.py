"""Which adapters the settings make."""

import asyncio
from pathlib import Path

import pytest

from millrace.engine.net import upstream
from millrace.engine.net.resolver import StubResolver
from millrace.engine.services import Services
from millrace.engine.settings import load


async def made(path: Path, text: str) -> StubResolver:
    (path / "millrace.toml").write_text(text)
    resolver = Services(load(path / "millrace.toml")).resolver()
    assert isinstance(resolver, StubResolver)
    return resolver


def knobs(resolver: StubResolver) -> tuple:
    return (
        [each.name for each in resolver.upstreams],
        resolver._timeout,
        resolver._tries,
        resolver._trusted,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (["192.0.2.1"], 7.0, 4, False)),
        ('[dns]\ntimeout = "1s"\ntries = 1', (["192.0.2.1"], 1.0, 1, False)),
        ('[dns]\nservers = ["192.0.2.2"]\ntrusted = true', (["192.0.2.2"], 2.0, 2, True)),
    ],
)
def test_resolver_follows_the_settings_and_then_the_host(tmp_path, monkeypatch, text, expected):
    host = upstream.Host(("192.0.2.1",), 7.0, 4)
    monkeypatch.setattr(upstream, "of_host", lambda: host)
    assert knobs(asyncio.run(made(tmp_path, text))) == expected
