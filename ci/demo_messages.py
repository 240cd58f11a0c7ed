"""The messages of the demo: each as the file that is sent, and as the bytes that must arrive.

Both are put together here from the same lines, without any code of the package: the file with
LF or CRLF, perhaps without the last line end, with its Bcc field; what must arrive with CRLF
everywhere and without Bcc. A number gives the same message in every run.
"""

from __future__ import annotations

import binascii
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

DOMAIN = "example.test"
SENDER = f"sender@{DOMAIN}"
MAX_LINE = 998  # RFC 5322 section 2.1.1, without CRLF

KB = 1000
MB = 1000 * KB
BASE64_LINE = 57  # bytes that become a line of 76 characters

_BOUNDARY = b"=_demo"
_MULTIPART = b'multipart/mixed; boundary="' + _BOUNDARY + b'"'
_TEXT_PART = (b"Content-Type: text/plain", b"", b"The file is attached.")
_FILE_PART = (
    b"Content-Type: application/octet-stream",
    b"Content-Transfer-Encoding: base64",
    b'Content-Disposition: attachment; filename="data.bin"',
    b"",
)
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


@dataclass(frozen=True)
class DemoMessage:
    """One message.

    Attributes:
        number: 0, 1, 2, ...; stands in the Message-ID.
        kind: what it is a case of, for reports.
        file: the bytes of the file that is sent.
        arrives: the bytes that the server must receive.
        recipients: the envelope that To, Cc and Bcc ask for.
    """

    number: int
    kind: str
    file: bytes
    arrives: bytes
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """A message before its line ends are decided."""

    header: Sequence[bytes]
    hidden: Sequence[bytes]
    body: Sequence[bytes] | None
    recipients: tuple[str, ...]


def messages(count: int) -> Iterator[DemoMessage]:
    """Yield `count` messages; the kinds take turns, each among odd and even numbers alike."""
    for number in range(count):
        yield _message(number)


def _message(number: int) -> DemoMessage:
    dice = random.Random(number)
    kind, make_body = _kind_of(number)
    plan = _plan(number, kind, make_body(dice))
    ends_with_line_end = number % 7 != 3
    return DemoMessage(
        number,
        kind,
        file=_write(plan, b"\n" if number % 3 else b"\r\n", ends_with_line_end=ends_with_line_end),
        arrives=_write(plan, b"\r\n", ends_with_line_end=True, is_hidden=True),
        recipients=plan.recipients,
    )


Body = list[bytes] | None
BodyMaker = Callable[[random.Random], Body]


def _kind_of(number: int) -> tuple[str, BodyMaker]:
    if number % 500 in (250, 251):
        return "10 MB attachment", lambda dice: _attachment(dice, 10 * MB)
    if number % 40 in (7, 8):
        return "1 to 3 MB attachment", lambda dice: _attachment(dice, dice.randint(MB, 3 * MB))
    if number % 5 == 2:
        return "1 to 40 KB attachment", lambda dice: _attachment(dice, dice.randint(KB, 40 * KB))
    name = list(_TEXTS)[number // 2 % len(_TEXTS)]
    return name, _TEXTS[name]


def _plan(number: int, kind: str, body: Body) -> _Plan:
    """Write the header of a message; some have Bcc, folded fields, or UTF-8 in the open."""
    to, cc, hidden = f"to-{number}@{DOMAIN}", f"cc-{number}@{DOMAIN}", f"bcc-{number}@{DOMAIN}"
    header = [
        b"From: =?utf-8?q?J=C3=B6rg?= <%b>" % SENDER.encode(),
        b"To: <%b>," % to.encode(),
        b"\t<%b>" % cc.encode(),
        b"Message-ID: <demo-%d@%b>" % (number, DOMAIN.encode()),
        b"Date: Mon, 23 Nov 2026 12:00:%02d +0000" % (number % 60),
        b"Subject: " + _subject(number, kind),
        b"MIME-Version: 1.0",
        b"Content-Type: " + (_MULTIPART if "attachment" in kind else b"text/plain; charset=utf-8"),
        b"Content-Transfer-Encoding: " + (b"8bit" if kind == "8-bit" else b"7bit"),
    ]
    if number // 2 % 4:
        return _Plan(header, [], body, (to, cc))
    name = (b"Bcc", b"BCC", b"bcc")[number % 3]
    return _Plan(header, [name + b":", b" <%b>" % hidden.encode()], body, (to, cc, hidden))


def _subject(number: int, kind: str) -> bytes:
    if number % 3 == 1:
        return f"Grüße und 你好 {number}: {kind}".encode()
    if number % 3 == 2:
        return b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= %d: " % number + kind.encode()
    return b"%d: " % number + kind.encode()


def _write(
    plan: _Plan, line_end: bytes, *, ends_with_line_end: bool, is_hidden: bool = False
) -> bytes:
    lines = [*plan.header[:4], *([] if is_hidden else plan.hidden), *plan.header[4:]]
    if plan.body is not None:
        lines += [b"", *plan.body]
    ends_with_line_end = ends_with_line_end or not plan.body
    return line_end.join(lines) + (line_end if ends_with_line_end else b"")


def _text(dice: random.Random) -> Body:
    lines = dice.randint(1, 400)
    return [" ".join(dice.choices(_WORDS, k=dice.randint(0, 12))).encode() for _ in range(lines)]


def _dots(dice: random.Random) -> Body:
    starts = [b".", b"..", b"...", b".hidden", b". ", b"text", b"", b".\t", b"QUIT", b".QUIT"]
    return [b".", *dice.choices(starts, k=dice.randint(1, 300)), b"."]


def _long_lines(dice: random.Random) -> Body:
    firsts = [b".", b"x", b" ", b".."]
    return [
        (dice.choice(firsts) + b"%d " % number).ljust(MAX_LINE, b"x")
        for number in range(dice.randint(1, 20))
    ]


def _eight_bit(dice: random.Random) -> Body:
    above = bytes(range(128, 256))
    lines = [bytes(dice.choices(above, k=dice.randint(1, 200))) for _ in range(50)]
    return [*lines, "Viele Grüße, 再见".encode(), b"." + above]


def _attachment(dice: random.Random, size: int) -> Body:
    data = dice.randbytes(size)
    encoded = [
        binascii.b2a_base64(data[at : at + BASE64_LINE], newline=False)
        for at in range(0, size, BASE64_LINE)
    ]
    delimiter = b"--" + _BOUNDARY
    return [delimiter, *_TEXT_PART, delimiter, *_FILE_PART, *encoded, delimiter + b"--"]


_TEXTS: dict[str, BodyMaker] = {
    "text": _text,
    "lines that start with dots": _dots,
    "lines of 998 octets": _long_lines,
    "empty body": lambda _: [],
    "header alone": lambda _: None,
    "8-bit": _eight_bit,
}
