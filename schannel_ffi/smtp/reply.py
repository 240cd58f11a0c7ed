"""Replies: from bytes in any splitting to `Reply` values (RFC 5321 section 4.2; no I/O).

A malformed reply is fatal for the session: after garbage it is no longer certain which reply
answers which command, and a message could be taken for delivered that was not. So every limit
and every doubt raises RemoteProtocolError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schannel_ffi.smtp.errors import RemoteProtocolError

MAX_LINE_BYTES = 8192
MAX_REPLY_BYTES = 65536
_SHOWN_CHARACTERS = 300

_ENHANCED_STATUS = re.compile(rb"([245])\.(\d{1,3})\.(\d{1,3})(?= |$)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_QUEUE_ID_FORMS = (
    re.compile(rb"\bqueued as ([A-Za-z0-9._-]+)", re.IGNORECASE),  # Postfix
    re.compile(rb"\bid=([A-Za-z0-9._-]+)"),  # Exim
    re.compile(rb"\bInternalId=(\d+)", re.IGNORECASE),  # Exchange
    re.compile(rb"^(?:2\.\d+\.\d+ )?([A-Za-z0-9]+) Message accepted"),  # Sendmail, OpenSMTPD
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply of the server.

    Attributes:
        code: 200..599.
        lines: The text of each line as received: without code, separator and line end.
    """

    code: int
    lines: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """The lines joined by spaces, for people: control characters are replaced by `?`."""
        joined = b" ".join(self.lines).decode("utf-8", "backslashreplace")
        return _UNPRINTABLE.sub("?", joined)

    @property
    def is_positive(self) -> bool:
        """Whether the reply class is 2yz."""
        return self.code < 300

    @property
    def is_intermediate(self) -> bool:
        """Whether the reply class is 3yz: the server waits for more."""
        return 300 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """Whether the reply class is 4yz: the same may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether the reply class is 5yz."""
        return self.code >= 500

    @property
    def enhanced_status(self) -> tuple[int, int, int] | None:
        """The enhanced status code (class, subject, detail), or None.

        One whose class contradicts the reply code is ignored (RFC 2034 section 4).
        """
        match = _ENHANCED_STATUS.match(self.lines[0])
        if match is None or int(match[1]) != self.code // 100:
            return None
        return int(match[1]), int(match[2]), int(match[3])

    @property
    def queue_id(self) -> str | None:
        """The name the server gave to an accepted message, where its wording is known.

        Known are Postfix, Exim, Exchange, Sendmail and OpenSMTPD; anything else is None: no
        standard defines it, and a wrong guess is worse than none.
        """
        if not self.is_positive:
            return None
        for form in _QUEUE_ID_FORMS:
            if match := form.search(self.lines[-1]):
                return match[1].decode("ascii")
        return None

    def __str__(self) -> str:
        """Return code and text in one line, shortened for messages."""
        text = self.text
        if len(text) > _SHOWN_CHARACTERS:
            text = text[: _SHOWN_CHARACTERS - 3] + "..."
        return f"{self.code} {text}".rstrip()


class ReplyReader:
    """Cuts a stream of received bytes into replies.

    A bare LF is taken as a line end, as all clients do; everything else is strict.
    """

    __slots__ = ("_buffer", "_code", "_lines", "_position", "_size")

    def __init__(self) -> None:
        """Start with nothing received."""
        self._buffer = b""
        self._position = 0
        self._code = 0
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def has_pending(self) -> bool:
        """Whether bytes were fed that belong to no returned reply."""
        return bool(self._lines) or self._position < len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append received bytes; `data` is kept, not copied, where nothing is pending."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next_reply(self) -> Reply | None:
        """Return the next whole reply, or None while it is incomplete.

        Raises:
            RemoteProtocolError: a line is not a reply line, a code outside 200..599, codes
                differ within one reply, a line above 8 KB or a reply above 64 KB.

        Source: RFC 5321 sections 4.2 and 4.5.3.1.5.
        """
        while True:
            start = self._position
            end = self._buffer.find(b"\n", start)
            if end < 0:
                if len(self._buffer) - start > MAX_LINE_BYTES:
                    raise RemoteProtocolError(f"reply line longer than {MAX_LINE_BYTES} bytes")
                return None
            self._position = end + 1
            if end > start and self._buffer[end - 1] == 13:
                end -= 1
            if self._take_line(self._buffer[start:end]):
                reply = Reply(self._code, tuple(self._lines))
                self._lines = []
                self._size = 0
                return reply

    def _take_line(self, line: bytes) -> bool:
        """Check one line and keep its text; return whether it ends the reply."""
        digits = line[:3]
        if len(line) > MAX_LINE_BYTES:
            raise RemoteProtocolError(f"reply line longer than {MAX_LINE_BYTES} bytes")
        if not (digits.isdigit() and len(digits) == 3 and b"200" <= digits <= b"599"):
            raise _malformed(line)
        separator = line[3:4]
        if separator not in (b" ", b"-", b""):
            raise _malformed(line)
        code = int(digits)
        if self._lines and code != self._code:
            raise RemoteProtocolError(f"the codes of one reply differ: {self._code} and {code}")
        self._size += len(line)
        if self._size > MAX_REPLY_BYTES:
            raise RemoteProtocolError(f"reply longer than {MAX_REPLY_BYTES} bytes")
        self._code = code
        self._lines.append(line[4:])
        return separator != b"-"


def _malformed(line: bytes) -> RemoteProtocolError:
    shown = _UNPRINTABLE.sub("?", line[:60].decode("utf-8", "backslashreplace"))
    return RemoteProtocolError(
        f'the peer sent "{shown}", which is no SMTP reply',
        hint="check host and port: is this an SMTP server, and does the port start with TLS?",
    )
