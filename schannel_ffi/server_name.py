"""The name of the peer: what the user wrote becomes what is sent as SNI and verified."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

__all__ = ["ServerName", "ascii_host"]

MAX_NAME = 253  # RFC 1035, 2.3.4, as text
MAX_LABEL = 63


@dataclass(frozen=True)
class ServerName:
    """A DNS name or an IP address, never both.

    Attributes:
        dns_name: A-labels without trailing dot, or "".
        ip_address: 4 or 16 bytes, or b"".
    """

    dns_name: str = ""
    ip_address: bytes = b""

    @classmethod
    def expected(cls, text: str | None, *, is_needed: bool) -> ServerName | None:
        """Return the name that the peer must have; None: it is verified by no name.

        Raises:
            ValueError: there is none though `is_needed`; as `parse`.
        """
        if text is None and is_needed:
            raise ValueError("server_hostname is needed to verify the peer")
        return None if text is None else cls.parse(text)

    def __str__(self) -> str:
        """Return the name or the address as text."""
        return self.dns_name or str(ipaddress.ip_address(self.ip_address))

    @classmethod
    def parse(cls, text: str) -> ServerName:
        """Return the name that `text` means: a DNS name, an IDN (IDNA 2003) or an IP literal.

        An IP address is not sent as SNI (RFC 6066, 3) and compared with iPAddress entries only (RFC
        9525, 6.5).

        Raises:
            ValueError: control characters, an empty or too long name or label.
        """
        name = ascii_host(text)
        try:
            return cls(ip_address=ipaddress.ip_address(name).packed)  # B18: no SNI
        except ValueError:
            pass
        name = name.removesuffix(".")  # B18: Windows sends and compares it as it stands
        labels = name.split(".")
        if len(name) > MAX_NAME or any(not 1 <= len(label) <= MAX_LABEL for label in labels):
            raise ValueError(
                f"{text!r} is no host name: at most {MAX_NAME} characters, labels of 1..{MAX_LABEL}"
            )
        return cls(dns_name=name)


def ascii_host(host: str) -> str:
    """Return a host name or IP literal as it is looked up: without brackets, A-labels.

    A-labels pass as they are; other names are converted by IDNA 2003, as the standard library knows
    it: "ß" becomes "ss". Give the A-label where IDNA 2008 is meant.

    Raises:
        ValueError: it is empty, holds spaces or control characters, or has no ASCII form.
    """
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not name or any(char <= " " or char == "\x7f" for char in name):
        raise ValueError(f"host name {host!r} is empty or holds spaces or control characters")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")  # B99: Windows wants A-labels
    except UnicodeError as exc:
        raise ValueError(f"host name {host!r} has no ASCII form") from exc
