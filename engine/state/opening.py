"""The store that the settings name, opened: a file, or Redis.

Only who names a Redis loads its library, which costs 0.2 s and 20 MiB.

Fails: `Misconfigured` for an address that names no store, `Unavailable` for a file that
cannot be used; a server that is away is found out when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millrace.engine.breaker import Breaker
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.ports import State as Store
from millrace.engine.state.embedded import EmbeddedState
from millrace.engine.state.guarded import GuardedState
from millrace.engine.state.settings import State
from millrace.engine.state.shadow import ShadowedState

REMOTE = ("redis", "rediss", "unix")


def open_state(
    state: State, at: Callable[[Path], Path], place: str = "", breaker: Breaker | None = None
) -> Store:
    """The State adapter; `at` makes a path of the settings one of the process.

    With a breaker, a store that is away is not asked; the shadow answers all the same.
    """
    store = _store(state, at, place)
    return ShadowedState(GuardedState(store, breaker) if breaker else store, state.shadow)


def _store(state: State, at: Callable[[Path], Path], place: str) -> Store:
    scheme, _, rest = state.url.partition(":")
    if scheme == "embedded" and rest:
        return EmbeddedState(at(Path(rest)), state.scope, timeout=state.timeout)
    if scheme in REMOTE:
        return _remote(state, at)
    hint = "It reads embedded:state.db, redis://127.0.0.1:6379/0, rediss://… or unix:///path."
    raise Misconfigured(Fault(f"{place}  state.url = '{state.url}' is no store".strip(), hint))


def _remote(state: State, at: Callable[[Path], Path]) -> Store:
    from millrace.engine.state import connect
    from millrace.engine.state.redis import RedisState

    return RedisState(
        connect.exchange(state, at),
        connect.shown(state),
        scope=state.scope,
        connections=state.connections,
        timeout=state.timeout,
    )
