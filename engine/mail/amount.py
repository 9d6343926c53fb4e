"""Amounts with a unit: times in seconds, sizes in octets, shares of one.

Plain numbers with a name for their unit, so that a field says what it counts in.
"""

from __future__ import annotations

from typing import Annotated, NewType

Seconds = NewType("Seconds", float)
Octets = NewType("Octets", int)
Share = Annotated[float, "from 0 to 1"]
