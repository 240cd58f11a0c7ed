"""SASL mechanisms for AUTH: what to answer to which challenge (RFC 4954; no I/O).

A mechanism is a value that makes exchanges. Secrets appear in no repr.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from schannel_ffi.smtp.errors import AuthenticationError, LocalProtocolError


@runtime_checkable
class Mechanism(Protocol):
    """One way to log in."""

    @property
    def name(self) -> str:
        """The SASL name, as EHLO offers it."""

    @property
    def speaks_first(self) -> bool:
        """Whether the first response goes out with the AUTH command."""

    def exchange(self, host: str) -> Generator[bytes, bytes, None]:
        """Yield each response; each challenge of the server is sent in.

        Args:
            host: the server's name, for mechanisms that address it.

        Raises:
            AuthenticationError: the exchange cannot go on.
        """


@dataclass(frozen=True, slots=True)
class Plain:
    """PLAIN: the password in one response (RFC 4616); one round trip."""

    user: str
    password: str = field(repr=False)
    name: str = field(default="PLAIN", init=False)
    speaks_first: bool = field(default=True, init=False)

    def exchange(self, host: str) -> Generator[bytes, bytes, None]:
        """Yield the only response."""
        del host
        yield f"\0{self.user}\0{self.password}".encode()


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN: user, then password; for servers without PLAIN (draft-murchison-sasl-login)."""

    user: str
    password: str = field(repr=False)
    name: str = field(default="LOGIN", init=False)
    speaks_first: bool = field(default=False, init=False)

    def exchange(self, host: str) -> Generator[bytes, bytes, None]:
        """Yield user and password; the wording of the challenges differs and is not read."""
        del host
        yield self.user.encode()
        yield self.password.encode()


def mechanisms_for(login: object) -> tuple[Mechanism, ...]:
    """Return the mechanisms a `login` argument allows, the preferred first.

    Raises:
        TypeError: it is neither a mechanism nor a (user, password) of str.
        LocalProtocolError: user or password hold NUL, which no mechanism here can carry, or
            a lone surrogate, which is no text.
    """
    if isinstance(login, Mechanism):
        return (login,)
    if not (
        isinstance(login, tuple)
        and len(login) == 2
        and all(isinstance(part, str) for part in login)
    ):
        raise TypeError("login is a tuple of two str, (user, password), or a mechanism")
    user, password = login
    if "\0" in user or "\0" in password:
        raise LocalProtocolError("user and password cannot hold NUL")
    if not (_is_text(user) and _is_text(password)):  # raised here, chained to no secret
        raise LocalProtocolError("user and password must be text")
    return Plain(user, password), Login(user, password)


def _is_text(part: str) -> bool:
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True


def choose(mechanisms: Sequence[Mechanism], offered: Sequence[str]) -> Mechanism:
    """Return the first of `mechanisms` that the server offers.

    Raises:
        AuthenticationError: there is none.
    """
    for mechanism in mechanisms:
        if mechanism.name in offered:
            return mechanism
    wanted = ", ".join(mechanism.name for mechanism in mechanisms)
    if not offered:
        raise AuthenticationError(
            "the server offers no AUTH here", hint="try port 465 or 587, or leave out login="
        )
    raise AuthenticationError(
        f"the server offers AUTH {', '.join(offered)[:200]} and the login allows {wanted}"
    )


def encode(response: bytes) -> bytes:
    """Return a response in base64; an empty one is `=` where it follows AUTH (RFC 4954)."""
    return b2a_base64(response, newline=False)
