"""State in Redis (or Valkey): shared by all workers and hosts.

One script for each need, so that a visit is one atomic round trip; a server that does
not know the script yet gets it with the same call (EVALSHA, then EVAL).  Every key has
a lifetime and begins with `millrace:1:`; `1` is the version of its shape.

The step of the greylist is written twice, here in Lua and in `greylisting.py`; the shared
contract test holds both to the same answers.

Fails: `Unavailable` when the server is away, slow, full or refuses.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.ports import GreylistTerms, Visit

CONNECTIONS = 16
TIMEOUT = 2.0  # seconds for connecting and for one answer
PREFIX = "millrace:1:"

# KEYS: triplet, client · ARGV: now, wait, window, lifetime, allow_after
_VISIT = """
local now, wait = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, life, allow = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function pass_client()
  local until_ = tonumber(redis.call('hget', KEYS[2], 'until') or '0')
  if until_ <= now then redis.call('del', KEYS[2]) end
  redis.call('hincrby', KEYS[2], 'passes', 1)
  redis.call('hset', KEYS[2], 'until', tostring(now + life))
  redis.call('expire', KEYS[2], math.ceil(life))
end
if allow > 0 then
  local c = redis.call('hmget', KEYS[2], 'passes', 'until')
  local passes = tonumber(c[1] or '0')
  if tonumber(c[2] or '0') > now and passes >= allow then
    pass_client()
    return {'client-known', tostring(now), '0', passes}
  end
end
local r = redis.call('hmget', KEYS[1], 'first', 'passed', 'passes', 'until')
if not r[1] or tonumber(r[4]) <= now then
  redis.call('hset', KEYS[1], 'first', tostring(now), 'passed', '0', 'passes', '0',
             'until', tostring(now + window))
  redis.call('expire', KEYS[1], math.ceil(window))
  return {'new', tostring(now), tostring(wait), 0}
end
local left = tonumber(r[1]) + wait - now
if r[2] == '0' and left > 0 then return {'early', r[1], tostring(left), 0} end
local passes = tonumber(r[3]) + 1
redis.call('hset', KEYS[1], 'passed', '1', 'passes', tostring(passes),
           'until', tostring(now + life))
redis.call('expire', KEYS[1], math.ceil(life))
if r[2] == '0' then
  pass_client()
  return {'passed', r[1], '0', passes}
end
return {'known', r[1], '0', passes}
"""


class RedisState:
    """The State port on a Redis URL (`redis://`, `rediss://`, `unix://`); one for each loop."""

    def __init__(self, url: str, connections: int = CONNECTIONS, timeout: float = TIMEOUT) -> None:
        self._shown = _without_password(url)
        try:
            pool: redis.BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                health_check_interval=30,
                protocol=3,
                decode_responses=True,
            )
        except ValueError as error:
            hint = "It reads like redis://127.0.0.1:6379/0"
            raise Misconfigured(Fault(f"state '{self._shown}': {error}", hint)) from None
        self._client = redis.Redis(connection_pool=pool)
        self._visit = self._client.register_script(_VISIT)

    async def visit(self, triplet: str, client: str, now: float, terms: GreylistTerms) -> Visit:
        """Note one visit in one round trip."""
        keys = [f"{PREFIX}grey:{triplet}", f"{PREFIX}client:{client}"]
        arguments: list[str | float] = [
            f"{now:.3f}",
            terms.wait,
            terms.window,
            terms.lifetime,
            terms.allow_after,
        ]
        try:
            found = cast("list[Any]", await self._visit(keys=keys, args=arguments))
        except (TimeoutError, RedisError, OSError) as error:
            raise Unavailable(f"redis {self._shown}", _words(error)) from None
        state = cast("Literal['new', 'early', 'passed', 'known', 'client-known']", str(found[0]))
        return Visit(state, float(found[1]), float(found[2]), int(found[3]))

    async def ping(self) -> None:
        """Ask the server whether it is there."""
        try:
            await self._client.ping()
        except (TimeoutError, RedisError, OSError) as error:
            raise Unavailable(f"redis {self._shown}", _words(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
