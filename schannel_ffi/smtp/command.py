"""Commands as bytes, and what the EHLO reply says may be used (RFC 5321 section 4.1; no I/O)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schannel_ffi.smtp.errors import LocalProtocolError

if TYPE_CHECKING:
    from schannel_ffi.smtp.envelope import Address
    from schannel_ffi.smtp.reply import Reply

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"

_CLIENT_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|\[[A-Za-z0-9:.-]+\]")
_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]*")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server offered in its last EHLO reply; empty after HELO.

    Attributes:
        keywords: Upper-case extension keyword -> its parameters as sent.
    """

    keywords: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> Capabilities:
        """Read an EHLO reply; lines that are no extension keyword are passed over.

        The old spelling `AUTH=PLAIN` counts as `AUTH PLAIN`.

        Source: RFC 5321 section 4.1.1.1.
        """
        keywords: dict[str, str] = {}
        for line in reply.lines[1:]:
            text = line.decode("ascii", "replace").strip()
            if text[:5].upper() == "AUTH=":
                text = "AUTH " + text[5:]
            name, _, parameters = text.partition(" ")
            name = name.upper()
            if not _KEYWORD.fullmatch(name):
                continue
            merged = f"{keywords.get(name, '')} {parameters}" if name == "AUTH" else parameters
            keywords[name] = merged.strip()
        return cls(keywords)

    def __contains__(self, keyword: str) -> bool:
        """Return whether the extension is offered; `keyword` in upper case."""
        return keyword in self.keywords

    @property
    def size_limit(self) -> int | None:
        """The largest message in bytes the server takes, or None (RFC 1870)."""
        digits = self.keywords.get("SIZE", "")
        return int(digits) or None if digits.isdecimal() and len(digits) <= 20 else None

    @property
    def auth_mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, in upper case and the server's order (RFC 4954)."""
        return tuple(self.keywords.get("AUTH", "").upper().split())


def client_name(name: str) -> str:
    """Return `name` if it may stand after EHLO: a host name or an address literal.

    Raises:
        LocalProtocolError: it holds anything else, such as spaces or control characters.

    Source: RFC 5321 sections 4.1.1.1 and 4.1.3.
    """
    if len(name) > 255 or not _CLIENT_NAME.fullmatch(name):
        raise LocalProtocolError(
            f"{name!r} cannot be said in EHLO",
            hint='local_hostname is a host name or an address literal such as "[192.0.2.1]"',
        )
    return name


def ehlo(name: str) -> bytes:
    """Return the EHLO command."""
    return b"EHLO %b\r\n" % name.encode("ascii")


def helo(name: str) -> bytes:
    """Return the HELO command, for servers that do not know EHLO."""
    return b"HELO %b\r\n" % name.encode("ascii")


def mail(sender: Address | None, parameters: tuple[bytes, ...] = ()) -> bytes:
    """Return the MAIL command; `sender` None is the null reverse-path `<>`.

    Source: RFC 5321 section 4.1.1.2.
    """
    path = b"" if sender is None else sender.encoded
    return b" ".join((b"MAIL FROM:<%b>" % path, *parameters)) + b"\r\n"


def rcpt(recipient: Address) -> bytes:
    """Return the RCPT command (RFC 5321 section 4.1.1.3)."""
    return b"RCPT TO:<%b>\r\n" % recipient.encoded
