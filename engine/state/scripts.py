"""What stands before each operation's script in Redis: the time, rows, numbers.

A row is a hash whose field `until` says when its time is over, so that a test's clock rules
as the server's does; the key itself ends by PEXPIRE.  A row without one of the numbers that
are asked for is none.  Numbers travel as text, since a number in a reply loses its fraction.

Fails: never.
"""

from __future__ import annotations

import functools
import hashlib

PRELUDE = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('time')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local function number(at) return tonumber(ARGV[at]) end
local function text(value) return string.format('%.17g', value) end
local function row(key, ...)
  local found = redis.call('hmget', KEYS[key], 'until', ...)
  if not found[1] or tonumber(found[1]) <= now then return nil end
  for at = 2, select('#', ...) + 1 do
    found[at] = tonumber(found[at])
    if not found[at] then return nil end
  end
  return unpack(found, 2)
end
local function keep(key, seconds, ...)
  redis.call('hset', KEYS[key], 'until', text(now + seconds), ...)
  redis.call('pexpire', KEYS[key], math.ceil(seconds * 1000))
end
"""


@functools.cache
def whole(script: str) -> tuple[str, str]:
    """The text that the server runs, and the SHA-1 by which it knows it."""
    text = PRELUDE + script
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
