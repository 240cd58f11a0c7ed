"""Envelopes: addresses parsed and written anew, from arguments or header fields (no I/O).

Nothing the caller passes reaches a command line as it stands: an address is cut into local part
and domain and composed again out of these, so that no line break, `>` or parameter can be
smuggled into MAIL or RCPT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email import policy
from email.errors import InvalidHeaderDefect
from typing import Any

from schannel_ffi.smtp.errors import LocalProtocolError

Field = tuple[str, object]
"""A header field: its name in lower case, its value (unfolded text, or an object of `email`)."""

_SIMPLE = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@((?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DOT_ATOM = re.compile(r"[^\x00-\x20()<>\[\]:;@\\,.\"]+(?:\.[^\x00-\x20()<>\[\]:;@\\,.\"]+)*")
_UNQUOTED_LOCAL = re.compile(r"[^\x00-\x20()<>\[\]:;@\\,\"]+")
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\]|\\[\x20-\x7e])*)"@(.*)', re.DOTALL)
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
)
_LITERAL = re.compile(r"\[[A-Za-z0-9:.-]+\]")
_MAX_PATH_BYTES = 500
_MAX_FIELD_CHARACTERS = 65536  # the standard library's parser takes quadratic time
_MAX_LABEL_BYTES = 63

_SENDER_FIELDS = ("sender", "from")
_RECIPIENT_FIELDS = ("to", "cc", "bcc")
ADDRESS_FIELDS = frozenset(
    prefix + name for prefix in ("", "resent-") for name in (*_SENDER_FIELDS, *_RECIPIENT_FIELDS)
)
"""The fields whose values can matter; of others the name and the place do."""
_RESENT_FIELDS = frozenset(
    f"resent-{name}" for name in ("date", *_SENDER_FIELDS, *_RECIPIENT_FIELDS)
)


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as it is written in a command.

    Attributes:
        local_part: Without quotes; may hold non-ASCII characters (then SMTPUTF8 is needed).
        domain: ASCII: a host name with A-labels, or an address literal in brackets; empty
            only for `postmaster`.
    """

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address: the bare `local-part@domain`, no display name, no angle brackets.

        A quoted local part keeps its meaning; a domain with non-ASCII letters becomes A-labels.

        Raises:
            LocalProtocolError: control characters, unquoted specials or spaces, no domain, a
                domain that cannot exist.

        Source: RFC 5321 section 4.1.2, RFC 6531 section 3.3, RFC 3490 (A-labels).
        """
        simple = _SIMPLE.fullmatch(text) if len(text) <= _MAX_PATH_BYTES else None
        if simple is not None and len(simple[2]) <= _MAX_LABEL_BYTES:
            return cls(simple[1], simple[2])
        if _CONTROL.search(text):
            raise _bad_address(text, "it holds control characters")
        if len(text.encode()) > _MAX_PATH_BYTES:
            raise _bad_address(text, f"it is longer than {_MAX_PATH_BYTES} bytes")
        if text.lower() == "postmaster":
            return cls(text, "")
        quoted = _QUOTED_LOCAL.fullmatch(text)
        if quoted is not None:
            local_part, domain = re.sub(r"\\(.)", r"\1", quoted[1]), quoted[2]
        else:
            local_part, _, domain = text.partition("@")
            if not _UNQUOTED_LOCAL.fullmatch(local_part):
                raise _bad_address(text, "its local part needs quotes, or this is no address")
        return cls(local_part, _to_ascii_domain(domain, text))

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take this address (RFC 6531)."""
        return not self.local_part.isascii()

    @property
    def encoded(self) -> bytes:
        """The bytes between the angle brackets, written from the parts."""
        local_part = self.local_part
        if not _DOT_ATOM.fullmatch(local_part):
            local_part = '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'
        return (f"{local_part}@{self.domain}" if self.domain else local_part).encode()

    @property
    def key(self) -> tuple[str, str]:
        """What two spellings of one mailbox have in common: only domains ignore case."""
        return self.local_part, self.domain.lower()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a message is from and who it goes to.

    Attributes:
        sender: The reverse-path; None is the null reverse-path `<>`.
        recipients: Each mailbox once, in the caller's order.
        spellings: Each text the caller used -> index into `recipients`.
    """

    sender: Address | None
    recipients: tuple[Address, ...]
    spellings: dict[str, int]

    @classmethod
    def of(cls, sender: str, recipients: Iterable[str]) -> Envelope:
        """Parse the addresses; equal recipients become one. `sender` "" is `<>`.

        Raises:
            LocalProtocolError: a bad address, or no recipient at all.
        """
        if isinstance(recipients, str):
            recipients = (recipients,)
        unique: dict[tuple[str, str], int] = {}
        addresses: list[Address] = []
        spellings: dict[str, int] = {}
        for text in recipients:
            if text in spellings:
                continue
            address = Address.parse(text)
            index = unique.setdefault(address.key, len(addresses))
            if index == len(addresses):
                addresses.append(address)
            spellings[text] = index
        if not addresses:
            raise LocalProtocolError(
                "the message has no recipients", hint="pass recipients=, or fill To, Cc or Bcc"
            )
        return cls(Address.parse(sender) if sender else None, tuple(addresses), spellings)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether any address needs SMTPUTF8."""
        sender = self.sender is not None and self.sender.needs_smtputf8
        return sender or any(address.needs_smtputf8 for address in self.recipients)


def sender_from(fields: Sequence[Field]) -> str:
    """Return the sender's address: Resent-Sender or Resent-From, else Sender or From.

    From with several authors and no Sender yields the first author, as smtplib does.

    Raises:
        LocalProtocolError: none of the fields names an address.

    Source: RFC 5322 sections 3.6.2 and 3.6.6.
    """
    fields, prefix = _relevant(fields)
    for name in _SENDER_FIELDS:
        addresses = _addresses(fields, prefix + name)
        if addresses:
            return addresses[0]
    raise LocalProtocolError(
        "the message names no sender", hint='pass sender= (sender="" for the null reverse-path)'
    )


def recipients_from(fields: Sequence[Field]) -> list[str]:
    """Return the addresses of To, Cc and Bcc, or of their Resent- forms where those exist.

    Returns:
        0 or more addresses, in the fields' order.

    Source: RFC 5322 sections 3.6.3 and 3.6.6.
    """
    fields, prefix = _relevant(fields)
    return [address for name in _RECIPIENT_FIELDS for address in _addresses(fields, prefix + name)]


def _relevant(fields: Sequence[Field]) -> tuple[Sequence[Field], str]:
    """Return the fields that count, and the prefix of their names.

    A message resent once may have its Resent- fields anywhere. One resent several times has a
    block per resending, the latest on top (RFC 5322 section 3.6.6): the first block counts. It
    ends where a field name comes again or another field stands between.
    """
    resent = [item for item in fields if item[0] in _RESENT_FIELDS]
    if not resent:
        return fields, ""
    if len({name for name, _ in resent}) == len(resent):
        return resent, "resent-"
    start = fields.index(resent[0])
    block: dict[str, Field] = {}
    for item in fields[start:]:
        if not item[0].startswith("resent-") or item[0] in block:
            break
        block[item[0]] = item
    return list(block.values()), "resent-"


def _addresses(fields: Sequence[Field], name: str) -> list[str]:
    found: list[str] = []
    for field_name, value in fields:
        if field_name == name:
            found.extend(_addresses_in(name, value))
    return found


def _addresses_in(name: str, value: object) -> list[str]:
    """Parse an address field by the standard library's structured header parser."""
    try:
        parsed = _parsed(name, value)
        addresses = [address.addr_spec for address in parsed.addresses]
    except LocalProtocolError:
        raise
    except Exception as exc:  # that parser leaks errors of any kind, RecursionError too
        raise LocalProtocolError(
            f"the {name.title()} field cannot be read",
            hint="correct the field, or pass sender= and recipients=",
        ) from exc
    for defect in parsed.defects:
        if isinstance(defect, InvalidHeaderDefect):  # the parser may have dropped an address
            raise LocalProtocolError(
                f"the {name.title()} field is no list of addresses: {defect}",
                hint="correct the field, or pass sender= and recipients=",
            )
    return addresses


def _parsed(name: str, value: object) -> Any:
    if hasattr(value, "addresses"):
        return value
    text = value if isinstance(value, str) else "".join(str(value).splitlines())
    if len(text) > _MAX_FIELD_CHARACTERS:
        raise LocalProtocolError(
            f"the {name.title()} field is longer than {_MAX_FIELD_CHARACTERS} characters",
            hint="shorten it, or pass sender= and recipients=",
        )
    return policy.SMTP.header_factory("to", text)


def _to_ascii_domain(domain: str, text: str) -> str:
    if not domain:
        raise _bad_address(text, "it has no domain")
    if _LITERAL.fullmatch(domain):
        return domain
    try:
        encoded = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
    except UnicodeError as exc:
        raise _bad_address(text, "its domain has no ASCII form") from exc
    return _check_domain(encoded, text)


def _check_domain(domain: str, text: str) -> str:
    too_long = len(domain) > 255 or (
        any(len(label) > _MAX_LABEL_BYTES for label in domain.split("."))
    )
    if too_long or not _DOMAIN.fullmatch(domain):
        raise _bad_address(text, "its domain cannot exist")
    return domain


def _bad_address(text: str, reason: str) -> LocalProtocolError:
    shown = text if len(text) <= 100 else text[:97] + "..."
    return LocalProtocolError(
        f"bad address {shown!r}: {reason}", hint="write it as local-part@domain, without a name"
    )
