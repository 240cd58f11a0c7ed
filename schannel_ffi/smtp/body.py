"""The canonicaliser: a message as DATA may carry it (RFC 5321 sections 2.3.8 and 4.5.2; no I/O).

After it every line ends in CRLF, no CR or LF stands alone, no line is too long and no NUL is
left, so that no server can see an end of data where there is none ("SMTP smuggling"). A message
that is canonical already is looked at and not copied: the searches below are single passes in C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schannel_ffi.smtp.errors import LocalProtocolError

MAX_LINE_BYTES = 998
_CRS_AND_LF = re.compile(rb"(?<!\r)\r+\n")  # a run of CR is looked at once
PIECE_BYTES = 1 << 20
"""A message up to this size leaves in one write; between pieces of it early replies are seen."""


def canonical(message: bytes) -> bytes:
    """Return `message` with every line ended by CRLF; the object itself where it is so already.

    A line ends at CRLF, LF or CR; at CR CR LF it ends once, so that no header is cut short.

    Raises:
        LocalProtocolError: a NUL byte, or a line above 998 bytes without its CRLF.

    Source: RFC 5322 section 2.1.1, RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.3.1.6.
    """
    if b"\0" in message:
        raise LocalProtocolError(
            f"line {_line_number(message, message.index(0))} of the message holds a NUL byte",
            hint="encode binary content as base64",
        )
    if b"\r\r\n" in message:  # what a CRLF becomes that was translated once more
        message = _CRS_AND_LF.sub(b"\r\n", message)
    if not message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r"):
        unified = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        message = unified.replace(b"\n", b"\r\n")
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    _check_line_lengths(message)
    return message


def _check_line_lengths(message: bytes) -> None:
    """Hop from line end to line end, as far as one line may reach: no object per line."""
    position = 0
    reach = MAX_LINE_BYTES + 2
    while len(message) - position > reach:
        end = message.rfind(b"\r\n", position, position + reach)
        if end < 0:
            raise LocalProtocolError(
                f"line {_line_number(message, position)} of the message is longer than"
                f" {MAX_LINE_BYTES} bytes",
                hint="wrap it, or encode the part as quoted-printable or base64",
            )
        position = end + 2


def _line_number(message: bytes, position: int) -> int:
    head = _CRS_AND_LF.sub(b"\n", message[:position]).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return head.count(b"\n") + 1


@dataclass(frozen=True, slots=True)
class Body:
    """A canonical message as it follows 354: dot-stuffed, and ended by the lone dot."""

    _stuffed: bytes

    @classmethod
    def of(cls, message: bytes) -> Body:
        """Stuff the dots of a canonical message; no copy where no line begins with one.

        Source: RFC 5321 section 4.5.2.
        """
        if b"\r\n." in message:
            message = message.replace(b"\r\n.", b"\r\n..")
        if message.startswith(b"."):
            message = b"." + message
        return cls(message)

    def pieces(self) -> list[bytes | memoryview]:
        """Return what to write, in order; only the last piece holds the end of data."""
        stuffed = self._stuffed
        if len(stuffed) <= PIECE_BYTES:
            return [stuffed + b".\r\n"]
        view = memoryview(stuffed)
        last = (len(stuffed) - 1) // PIECE_BYTES * PIECE_BYTES
        pieces: list[bytes | memoryview] = [
            view[start : start + PIECE_BYTES] for start in range(0, last, PIECE_BYTES)
        ]
        pieces.append(b"".join((view[last:], b".\r\n")))
        return pieces
