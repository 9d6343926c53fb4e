"""SMTP and LMTP, sans-IO: the server role, the client role, and what both share."""

from millrace.engine.wire.smtp.client import Answered, SmtpClient
from millrace.engine.wire.smtp.server import Limits, SmtpServer

__all__ = ["Answered", "Limits", "SmtpClient", "SmtpServer"]
