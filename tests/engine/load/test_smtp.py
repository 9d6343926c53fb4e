"""A mail brought to an SMTP server, whose lines are written here: no sockets."""

from __future__ import annotations

import pytest

from millrace.engine.load.mails import Mail, made
from millrace.engine.load.smtp import SmtpTalk

HELLO = {"EHLO": "250-mx.example\r\n250 PIPELINING"}


def talked(lines: dict[str, str], mail: Mail | None = None) -> tuple[SmtpTalk, list[str]]:
    """To the end; `lines` by the verb, 250 where nothing is said."""
    talk = SmtpTalk(mail or made(1)(0))
    heard: list[str] = []
    out = talk.receive(f"{lines.get('', '220 mx.example')}\r\n".encode())
    for _ in range(20):
        if talk.verdict:
            break
        back = b""
        if "DATA" in heard and heard[-1] == "DATA":
            heard.append(".")
            assert out.endswith(b"\r\n.\r\n")
            back = f"{lines.get('.', '250 taken')}\r\n".encode()
        else:
            for line in out.decode().splitlines():
                heard.append(line.split()[0])
                usual = "354 go on" if heard[-1] == "DATA" else "250 fine"
                back += f"{lines.get(line, lines.get(heard[-1], usual))}\r\n".encode()
        out = talk.receive(back)
    return talk, heard


def test_a_mail_is_brought_and_taken():
    talk, heard = talked(HELLO)
    assert (talk.verdict, heard) == ("accept", ["EHLO", "MAIL", "RCPT", "DATA", "."])
    assert talk.farewell() == b"QUIT\r\n"


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ({"": "421 4.3.2 full"}, "defer"),
        ({"EHLO": "550 not you"}, "reject"),
        ({**HELLO, "MAIL": "550 5.7.1 no"}, "reject"),
        ({**HELLO, "RCPT": "450 4.7.1 later"}, "defer"),
        ({**HELLO, "DATA": "451 4.3.0 no"}, "defer"),
        ({**HELLO, ".": "550 5.7.1 spam"}, "reject"),
    ],
)
def test_a_refusal_at_any_step_is_the_verdict(lines, verdict):
    assert talked(lines)[0].verdict == verdict


def test_one_recipient_that_is_taken_is_enough():
    mail = made(1)(0)
    two = Mail(mail.raw, mail.ip, mail.host, mail.sender, ("no@r.example", "yes@r.example"))
    talk, heard = talked({**HELLO, "RCPT TO:<no@r.example>": "550 5.1.1 nobody"}, two)
    assert (talk.verdict, heard[-1]) == ("accept", ".")


@pytest.mark.parametrize("verb", ["XFORWARD", "XCLIENT"])
def test_a_server_that_lets_us_hears_who_brings_the_mail(verb):
    lines = {"EHLO": f"250-mx.example\r\n250 {verb} NAME ADDR HELO"}
    lines["XCLIENT"] = "220 mx.example"
    talk, heard = talked(lines)
    assert talk.verdict == "accept"
    assert heard.count(verb) == 1


def test_a_server_that_hangs_up_gives_no_verdict_of_its_own():
    talk = SmtpTalk(made(1)(0))
    assert talk.receive(b"") == b""
    assert (talk.verdict, talk.farewell()) == ("hung up", b"")
