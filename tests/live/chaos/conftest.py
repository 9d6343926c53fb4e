"""The services are started once; each drill has a copy of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live.chaos.scene import Scene, Services, services


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A real Redis, name servers, a scanner."""
    with services(tmp_path_factory.mktemp("services")) as made:
        yield made


@pytest.fixture
def scene(asked: Services, tmp_path: Path) -> Scene:
    """Where a drill takes place."""
    return Scene(asked, tmp_path)
