"""The settings of named lists: `[lists]` of the settings file.

Fails: never.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from millrace.engine.options import Seconds


@dataclass(frozen=True, slots=True)
class Lists:
    """Named lists, the files of policies/lists."""

    poll: Annotated[Seconds, "how often workers look whether a list has changed; 0s: never"] = (
        Seconds(1.0)
    )
    index: Annotated[Path, "the folder of what large lists are compiled to"] = Path("lists.index")
