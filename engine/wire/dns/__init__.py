"""DNS messages, sans-IO: what a stub resolver sends, and what it reads."""

from millrace.engine.wire.dns.answer import answer
from millrace.engine.wire.dns.message import Query, Reply, read
from millrace.engine.wire.dns.names import Malformed

__all__ = ["Malformed", "Query", "Reply", "answer", "read"]
