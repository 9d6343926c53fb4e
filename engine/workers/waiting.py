"""How long a process has stood in the queue for a processor.

On a host with more to do than it has processors, who is silent may only be waiting for its
turn; to kill it then would take connections and make more work.

    /proc/<pid>/schedstat    nanoseconds run, nanoseconds ready and not run, time slices

Fails: never; 0.0 where the system does not say.
"""

from __future__ import annotations

from pathlib import Path


def waited(pid: int) -> float:
    """Seconds in which the process's first thread was ready to run and did not."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
