"""Opening a connection: TCP, TLS, greeting, EHLO, STARTTLS, AUTH, in this order of trust.

Capabilities are those of the last EHLO only: what was offered before TLS is forgotten, and
credentials leave inside verified TLS alone, unless the caller said `insecure_`.
"""

from __future__ import annotations

import socket
import time
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from schannel_ffi.smtp import auth, command
from schannel_ffi.smtp.command import Capabilities
from schannel_ffi.smtp.errors import (
    AuthenticationError,
    ConnectionFailed,
    LocalProtocolError,
    RemoteProtocolError,
    ServiceRefused,
    SMTPError,
    SMTPTimeout,
    StartTLSRequired,
)
from schannel_ffi.smtp.reply import Reply
from schannel_ffi.smtp.settings import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    QUIT_SECONDS,
    Security,
    Settings,
)
from schannel_ffi.smtp.transport import Transport, check_platform, is_verifying, wrap


class Connection:
    """A connection that is ready for transactions."""

    def __init__(self, transport: Transport, settings: Settings, *, is_encrypted: bool) -> None:
        """Start with a bare transport: nothing was said on it yet."""
        self.transport = transport
        self.capabilities = Capabilities()
        self.is_encrypted = is_encrypted
        self.is_dirty = False
        self.is_used = False
        self._settings = settings

    def ask(self, line: bytes, waiting_for: str) -> Reply:
        """Send one command and return its reply.

        Raises:
            SMTPTimeout, ConnectionLost: no reply.
            RemoteProtocolError: a malformed reply, or one that came before the command.
        """
        if self.transport.has_surplus:
            raise RemoteProtocolError("the server sent a reply that nobody asked for")
        self.transport.send(line, self._settings.deadline(COMMAND_SECONDS))
        return self.transport.receive(self._settings.deadline(COMMAND_SECONDS), waiting_for)

    def wants_tls_or_login(self, reply: Reply) -> SMTPError | None:
        """Return the error for a reply 530 that asks for STARTTLS or AUTH first, else None.

        Whoever logs in anyway is not told to: 530 then has another reason.

        Source: RFC 3207 section 4, RFC 4954 section 6.
        """
        if reply.code != 530:
            return None
        if not self.is_encrypted and "TLS" in reply.text.upper():
            return StartTLSRequired(
                "the server wants TLS first", reply=reply, hint='use security="starttls"'
            )
        if self._settings.mechanisms:
            return None
        return AuthenticationError(
            "the server wants a login first", reply=reply, hint="pass login=(user, password)"
        )

    def open_session(self) -> None:
        """Go from the greeting to where MAIL may be sent."""
        settings = self._settings
        self._greet()
        self._introduce()
        if settings.security in (Security.STARTTLS, Security.INSECURE_OPPORTUNISTIC):
            self._start_tls()
        if settings.mechanisms:
            self._log_in()

    def quit(self) -> None:
        """Say QUIT, wait at most two seconds for the answer, and close."""
        deadline = self._settings.deadline(QUIT_SECONDS)
        try:
            with suppress(SMTPError):
                self.transport.send(command.QUIT, deadline)
                self.transport.receive(deadline, "the reply to QUIT")
            self.transport.close()
        finally:
            self.transport.abort()

    def _greet(self) -> None:
        settings = self._settings
        try:
            reply = self.transport.receive(
                settings.deadline(COMMAND_SECONDS), "the server's greeting"
            )
        except SMTPTimeout as exc:
            if self.is_encrypted:
                raise
            raise SMTPTimeout(
                "the server sent no greeting",
                hint='if this port starts with TLS, as 465 does, use security="tls"',
            ) from exc
        if reply.code != 220:
            raise ServiceRefused("the server refused the session", reply=reply)

    def _introduce(self) -> None:
        name = self._settings.local_hostname or _address_literal(self.transport)
        reply = self.ask(command.ehlo(name), "the reply to EHLO")
        if reply.is_positive:
            self.capabilities = Capabilities.parse(reply)
            return
        self._raise_if_login_or_tls_wanted(reply)
        if not reply.is_permanent or not self._may_fall_back:
            raise ServiceRefused("the server refused EHLO", reply=reply)
        reply = self.ask(command.helo(name), "the reply to HELO")
        if not reply.is_positive:
            raise ServiceRefused("the server refused HELO", reply=reply)
        self.capabilities = Capabilities()

    @property
    def _may_fall_back(self) -> bool:
        """HELO would hide STARTTLS and AUTH: an attacker could provoke it to be rid of them."""
        settings = self._settings
        if settings.mechanisms or settings.security is Security.STARTTLS:
            return False
        return not self.is_encrypted or settings.security is Security.TLS

    def _raise_if_login_or_tls_wanted(self, reply: Reply) -> None:
        error = self.wants_tls_or_login(reply)
        if error is not None:
            raise error

    def _start_tls(self) -> None:
        is_required = self._settings.security is Security.STARTTLS
        if "STARTTLS" not in self.capabilities:
            if is_required:
                raise StartTLSRequired(
                    "the server does not offer STARTTLS",
                    hint='try port 465 with security="tls"; plain text is'
                    ' security="insecure_plaintext"',
                )
            return
        reply = self.ask(command.STARTTLS, "the reply to STARTTLS")
        if reply.code != 220:
            if is_required or reply.code == 421:
                raise StartTLSRequired(
                    "the server refused STARTTLS",
                    reply=reply,
                    hint='try again later, or port 465 with security="tls"',
                )
            return
        settings = self._settings
        self.transport.start_tls(
            settings.tls, settings.server_hostname, settings.deadline(CONNECT_SECONDS)
        )
        self.is_encrypted = True
        self.capabilities = Capabilities()
        self._introduce()

    def _log_in(self) -> None:
        settings = self._settings
        verified = self.is_encrypted and is_verifying(settings.tls)
        if not verified and not settings.insecure_login:
            raise StartTLSRequired(
                "the login was not sent, because the connection is not encrypted and verified",
                hint='use security="tls" or "starttls"; insecure_login=True sends it anyway',
            )
        mechanism = auth.choose(settings.mechanisms, self.capabilities.auth_mechanisms)
        reply = self._exchange(mechanism)
        if not reply.is_positive:
            raise AuthenticationError(
                f"the server refused AUTH {mechanism.name}", reply=reply, hint=_login_hint(reply)
            )

    def _exchange(self, mechanism: auth.Mechanism) -> Reply:
        """Run one SASL exchange (RFC 4954 section 4); return the reply that ends it."""
        waiting_for = f"the reply to AUTH {mechanism.name}"
        exchange = mechanism.exchange(self._settings.server_hostname)
        line = b"AUTH " + mechanism.name.encode("ascii")
        response: bytes | None = None
        if mechanism.speaks_first:
            response = next(exchange)
            line += b" " + (auth.encode(response) or b"=")
        reply = self.ask(line + b"\r\n", waiting_for)
        while reply.is_intermediate:
            try:
                challenge = a2b_base64(reply.lines[-1])
            except Base64Error:
                challenge = b""  # PLAIN and LOGIN do not read it, and some servers forget base64
            try:
                response = next(exchange) if response is None else exchange.send(challenge)
            except AuthenticationError:
                self.ask(b"*\r\n", waiting_for)
                raise
            except StopIteration:
                self.ask(b"*\r\n", waiting_for)
                raise RemoteProtocolError(
                    f"the server wants more than AUTH {mechanism.name} has to say"
                ) from None
            reply = self.ask(auth.encode(response) + b"\r\n", waiting_for)
        return reply


def open_connection(
    settings: Settings,
    *,
    check: Callable[[], None] | None = None,
    on_transport: Callable[[Transport], None] | None = None,
) -> Connection:
    """Connect, secure, introduce and log in; return the connection ready for MAIL.

    Blocks; TCP and TLS take at most 30 s together, each reply at most what RFC 5321 section
    4.5.3.2 gives it, and no single wait longer than `settings.timeout`.

    Args:
        settings: What to open.
        check: Called between the waits for TCP; what it raises ends the attempt.
        on_transport: Called with the transport before anything is read from it, so that
            another thread can shut it down; what it raises ends the attempt, too.

    Raises:
        ConnectionFailed, SMTPTimeout, ConnectionLost: no connection, or lost on the way.
        StartTLSRequired: TLS is not to be had.
        AuthenticationError: the login was refused or cannot be made.
        ServiceRefused: the server serves nobody, or not us.
        RemoteProtocolError: the peer does not speak SMTP.
    """
    if settings.security is not Security.INSECURE_PLAINTEXT:
        check_platform(settings.tls)
    deadline = settings.deadline(CONNECT_SECONDS)
    sock = _connect(settings, deadline, check)
    is_encrypted = settings.security is Security.TLS
    if is_encrypted:
        sock = wrap(sock, settings.tls, settings.server_hostname, deadline)
    connection = Connection(Transport(sock), settings, is_encrypted=is_encrypted)
    try:
        if on_transport is not None:
            on_transport(connection.transport)
        connection.open_session()
    except BaseException:
        connection.transport.abort()
        raise
    return connection


def _connect(settings: Settings, deadline: float, check: Callable[[], None] | None) -> Any:
    try:
        if settings.connector is None:
            from schannel_ffi import sockets  # the SMTP floor runs without it  # noqa: PLC0415

            return sockets.open_tcp(
                settings.host,
                settings.port,
                deadline=deadline,
                source_address=settings.source_address,
                check=check,
            )
        remaining = max(deadline - time.monotonic(), 0.001)
        sock = settings.connector(settings.host, settings.port, remaining)
    except SMTPError:
        raise
    except ValueError as exc:
        raise LocalProtocolError(str(exc)) from exc
    except TimeoutError as exc:
        raise SMTPTimeout(str(exc) or "connecting timed out", hint=_hint_of(exc)) from exc
    except OSError as exc:
        raise ConnectionFailed(str(exc), hint=_hint_of(exc)) from exc
    if sock is None:
        raise LocalProtocolError("connector= returned no socket")
    with suppress(OSError, AttributeError):  # a proxy's socket may be no TCP socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _hint_of(exc: BaseException) -> str | None:
    return str(getattr(exc, "hint", "")) or None


def _address_literal(transport: Transport) -> str:
    """Return the socket's own address for EHLO (RFC 5321 section 4.1.3); no name lookup."""
    address = transport.local_address()
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _login_hint(reply: Reply) -> str:
    if reply.code == 454 or reply.is_transient:
        return "try again later"
    if reply.code in (534, 538):
        return "the server wants another mechanism or stronger encryption"
    return "check user and password; some providers want an app password"
