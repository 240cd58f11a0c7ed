"""Messages: what the caller passes, as bytes to send and fields to read (no I/O).

Raw bytes are RFC 5322 messages and stay as they are but for line ends and Bcc. The cut and the
envelope read the header through one splitter, so that no Bcc field can be seen by one of them
and missed by the other.
"""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from email import policy
from email.generator import BytesGenerator
from email.message import Message
from typing import Any, Protocol

from schannel_ffi.smtp.body import canonical
from schannel_ffi.smtp.command import Capabilities
from schannel_ffi.smtp.envelope import ADDRESS_FIELDS, Field
from schannel_ffi.smtp.errors import LocalProtocolError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HIDDEN_FIELDS = (b"bcc", b"resent-bcc")


@dataclass(frozen=True, slots=True)
class Content:
    """A message ready for one server.

    Attributes:
        data: Canonical bytes without Bcc fields, not yet dot-stuffed.
        is_8bit: Whether a byte is above 127.
        needs_smtputf8: Whether the header holds raw UTF-8 (RFC 6532).
    """

    data: bytes
    is_8bit: bool
    needs_smtputf8: bool


class Source(Protocol):
    """A message of any kind."""

    def fields(self) -> list[Field]:
        """Return the header fields, unfolded."""

    def content(self, capabilities: Capabilities, *, smtputf8: bool) -> Content:
        """Return the bytes for a server with these capabilities."""


def source_of(message: object) -> Source:
    """Return the Source for an EmailMessage, a Message or a bytes-like RFC 5322 message.

    Raises:
        TypeError: it is something else; text has no defined encoding and is refused too.
        LocalProtocolError: bytes that cannot be sent, see `body.canonical`.
    """
    if isinstance(message, Message):
        return _ObjectSource(message)
    if isinstance(message, (bytes, bytearray, memoryview)):
        return _BytesSource(bytes(message))
    raise TypeError(
        f"a message is an email.message.EmailMessage or bytes, not {type(message).__name__}"
    )


class _BytesSource:
    """An RFC 5322 message as bytes."""

    def __init__(self, message: bytes) -> None:
        # Before a field's name the mark would be part of it: a Bcc could hide behind.
        message = canonical(message.removeprefix(_BYTE_ORDER_MARK))
        header_end = 0 if message.startswith(b"\r\n") else message.find(b"\r\n\r\n") + 2
        if header_end == 1:
            header_end = len(message)
        self._header = visible = message[:header_end]
        if b"bcc" in self._header.lower():
            visible = b"".join(
                line for name, line in _split_header(self._header) if name not in _HIDDEN_FIELDS
            )
            if len(visible) != header_end:
                message = visible + message[header_end:]
        self._data = message
        self._is_header_ascii = visible.isascii()

    def fields(self) -> list[Field]:
        return [
            (name.decode("ascii", "replace"), _unfold(raw))
            for name, raw in _split_header(self._header)
            if name
        ]

    def content(self, capabilities: Capabilities, *, smtputf8: bool) -> Content:
        del capabilities, smtputf8
        if self._data.isascii():
            return Content(self._data, is_8bit=False, needs_smtputf8=False)
        return Content(self._data, is_8bit=True, needs_smtputf8=not self._is_header_ascii)


class _ObjectSource:
    """An EmailMessage, or a Message of the older interface."""

    def __init__(self, message: Message[Any, Any]) -> None:
        self._message = message

    def fields(self) -> list[Field]:
        """Return the fields unparsed: `items` would parse every one, whatever that raises."""
        fields = ((name.lower().rstrip(), value) for name, value in self._message.raw_items())
        return [
            (name, _without_folds(value) if name in ADDRESS_FIELDS else "")
            for name, value in fields
        ]

    def content(self, capabilities: Capabilities, *, smtputf8: bool) -> Content:
        visible = copy.copy(self._message)
        for name in dict.fromkeys(visible.keys()):
            if name.lower().rstrip().encode("ascii", "replace") in _HIDDEN_FIELDS:
                del visible[name]  # binds a new list of fields: the caller's stays as it is
        settings: dict[str, Any] = {
            "linesep": "\r\n",
            "cte_type": "8bit" if "8BITMIME" in capabilities else "7bit",
        }
        if isinstance(visible.policy, policy.EmailPolicy):
            settings["utf8"] = smtputf8
        written = io.BytesIO()
        generator = BytesGenerator(
            written, mangle_from_=False, policy=visible.policy.clone(**settings)
        )
        try:
            generator.flatten(visible)
        except Exception as exc:  # `email` leaks errors of any kind, RecursionError too
            reason = " ".join(str(exc).split()) or type(exc).__name__
            raise LocalProtocolError(f"the message cannot be serialised: {reason}") from exc
        # A Bcc could still hide in text that only looks like a header once it is written.
        return _BytesSource(written.getvalue()).content(capabilities, smtputf8=smtputf8)


def _without_folds(value: object) -> object:
    """Join the lines of a raw value; a parsed one, which is a str too, stays as it is."""
    if isinstance(value, str) and not hasattr(value, "addresses"):
        return "".join(value.splitlines())
    return value


def _split_header(header: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a canonical header into fields: lower-case name, and its lines with their ends.

    A line that is neither a field nor the continuation of one has the empty name.
    """
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
        else:
            name, colon, _ = line.partition(b":")
            fields.append((name.strip(b" \t").lower() if colon else b"", [line]))
    return [(name, b"".join(lines)) for name, lines in fields]


def _unfold(raw: bytes) -> str:
    value = raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
