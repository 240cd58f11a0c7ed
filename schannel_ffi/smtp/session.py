"""Session: one SMTP connection that sends messages, one after the other.

The order of things in `send`: everything that can be checked without the server is checked; the
idle connection is looked at without a round trip and replaced if it is stale; the message is
made ready for this server's capabilities; the envelope leaves in one write where PIPELINING is
offered; the body and its end leave in another. What each step does to the outcomes stands in
`transaction`, the bytes are moved in `delivery`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from schannel_ffi.smtp.auth import Mechanism
from schannel_ffi.smtp.command import Capabilities
from schannel_ffi.smtp.connection import Connection, open_connection
from schannel_ffi.smtp.delivery import Delivery
from schannel_ffi.smtp.envelope import Envelope, recipients_from, sender_from
from schannel_ffi.smtp.errors import ConnectionLost, LocalProtocolError, SMTPError
from schannel_ffi.smtp.message import Source, source_of
from schannel_ffi.smtp.result import SendResult
from schannel_ffi.smtp.settings import IMPLICIT_TLS_PORT, Connector, checked_settings
from schannel_ffi.smtp.transport import Transport


class Session:
    """A connection to one SMTP server, opened by `with` or `connect`.

    A session belongs to one thread at a time. A connection that is lost, or that the server
    closed while nothing was going on, is opened anew by the next `send`.
    """

    def __init__(
        self,
        host: str,
        port: int = IMPLICIT_TLS_PORT,
        *,
        security: str | None = None,
        login: tuple[str, str] | Mechanism | None = None,
        tls: Any = None,
        server_hostname: str | None = None,
        local_hostname: str | None = None,
        source_address: tuple[str, int] | None = None,
        connector: Connector | None = None,
        insecure_login: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Check the settings. Nothing is connected yet; never blocks.

        Args:
            host: A name or an IP literal.
            port: 465 is TLS from the first byte, 587 submission, 25 relay.
            security: "tls", "starttls" (required), "insecure_opportunistic" (STARTTLS where it
                is offered: whoever can alter traffic can read all) or "insecure_plaintext".
                None is "tls" on port 465, else "starttls".
            login: (user, password) for AUTH PLAIN or LOGIN, or a mechanism such as `GSSAPI`;
                sent inside verified TLS only.
            tls: A TLSConfig (Schannel), or an ssl.SSLContext; None is Schannel's default.
            server_hostname: The name to verify and to send as SNI, if it is not `host`.
            local_hostname: What EHLO says; None is the address literal of the socket.
            source_address: (IP literal, port) to connect from.
            connector: Called with (host, port, seconds) instead of connecting; returns a
                connected socket, such as a proxy's.
            insecure_login: Send the login even where anybody may read it, or an impostor
                may receive it.
            timeout: Seconds; caps each single wait, which is 5 minutes otherwise, and 10 for the
                verdict on a message (RFC 5321 section 4.5.3.2); 30 seconds for TCP and TLS. A
                cap below 600 makes Outcome.UNKNOWN likelier.

        Raises:
            LocalProtocolError: a setting that cannot work, or that would send the login
                unprotected.
            TypeError: a login that is neither (user, password) nor a mechanism.
        """
        self._settings = checked_settings(
            host,
            port,
            security=security,
            server_hostname=server_hostname,
            local_hostname=local_hostname,
            login=login,
            tls=tls,
            source_address=source_address,
            connector=connector,
            insecure_login=insecure_login,
            timeout=timeout,
        )
        self._busy = threading.Lock()
        self._connection: Connection | None = None
        self._opening: Transport | None = None  # of a connection that is not ready yet
        self._is_open = False
        self._is_aborted = False

    def __enter__(self) -> Session:
        """Connect, if that was not done yet."""
        if not self._is_open:
            self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close: with QUIT, but at once when the program is being interrupted."""
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        """Close what was left open, and warn."""
        if getattr(self, "_connection", None) is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.abort()

    def __repr__(self) -> str:
        """Name the server and the state; never the login."""
        settings = self._settings
        state = "connected" if self._connection is not None else "not connected"
        return f"<Session {settings.host}:{settings.port} {settings.security.value}, {state}>"

    @property
    def capabilities(self) -> Capabilities:
        """What the server offered in its last EHLO reply; empty while not connected."""
        connection = self._connection
        return Capabilities() if connection is None else connection.capabilities

    def connect(self) -> None:
        """Connect, secure, introduce and log in. Blocks; see `timeout`.

        Raises:
            ConnectionFailed, SMTPTimeout, ConnectionLost: no connection, or lost on the way.
            StartTLSRequired: TLS is required and not to be had.
            AuthenticationError: the login was refused or cannot be made.
            ServiceRefused: the server serves nobody, or not us.
            RemoteProtocolError: the peer does not speak SMTP.
            LocalProtocolError: connected already, or in use by another thread.

        Source: RFC 5321 section 3.1, RFC 8314 section 3, RFC 3207, RFC 4954.
        """
        self._acquire()
        try:
            if self._is_open:
                raise LocalProtocolError("the session is connected already")
            self._open()
            self._is_open = True
        finally:
            self._release()

    def close(self) -> None:
        """Say QUIT, wait at most 2 seconds for the answer, and close. Idempotent.

        Raises:
            LocalProtocolError: another thread is using the session; `abort` may be called.
        """
        self._acquire()
        try:
            connection, self._connection = self._connection, None
            self._is_open = False
            if connection is not None:
                connection.quit()
        finally:
            self._release()

    def abort(self) -> None:
        """Close at once, without QUIT; from any thread. Idempotent.

        A `send` or `connect` under way in another thread fails with ConnectionLost, and its
        thread closes. A TLS handshake or a `connector` under way ends first.
        """
        self._is_aborted = True
        if (opening := self._opening) is not None:
            opening.shut_down()
        if (connection := self._connection) is not None:
            connection.transport.shut_down()
        if self._busy.acquire(blocking=False):
            self._release()

    def send(
        self,
        message: object,
        *,
        sender: str | None = None,
        recipients: Iterable[str] | None = None,
        all_or_nothing: bool = False,
    ) -> SendResult:
        """Send one message and return what became of it for each recipient. Blocks.

        Bcc and Resent-Bcc fields never leave. Bytes are sent as they are but for that, without
        a UTF-8 byte order mark, with other line ends repaired to CRLF. An EmailMessage is
        written for what the server can take. Recipients the server refuses are results, not
        exceptions.

        Args:
            message: An email.message.EmailMessage or Message, or a bytes-like RFC 5322
                message; lines of at most 998 bytes, no NUL.
            sender: The reverse-path; "" is the null one. None takes Sender or From.
            recipients: Addresses without display names; equal ones are sent once. None takes
                To, Cc and Bcc. Where Resent- fields exist these count instead, the first
                block of them if there are several.
            all_or_nothing: Send to nobody if the server refuses any recipient (one round
                trip more).

        Returns:
            One Outcome per recipient, the reply that ended it, and the queue id in it.

        Raises:
            LocalProtocolError: bad addresses, no recipients, a message that this server
                cannot take (size, 8 bit, SMTPUTF8), session not connected or in use.
            SMTPTimeout, ConnectionLost, RemoteProtocolError: the connection is over; the
                error's `outcomes` tell each recipient's state: NOT_SENT is certain, UNKNOWN
                means that the whole message was handed over and the verdict is missing.
            StartTLSRequired, AuthenticationError: the server wants TLS or a login first.
            TypeError: the message is neither.

        Source: RFC 5321 sections 3.3 and 4.5.3, RFC 2920, RFC 1870, RFC 6152, RFC 6531.
        """
        self._acquire()
        try:
            if not self._is_open:
                raise LocalProtocolError(
                    "the session is not connected", hint="use `with Session(...)` or connect()"
                )
            source = source_of(message)
            envelope = _envelope_of(source, sender, recipients)
            return self._send(source, envelope, all_or_nothing=all_or_nothing)
        finally:
            self._release()

    def _send(self, source: Source, envelope: Envelope, *, all_or_nothing: bool) -> SendResult:
        """Send on the open connection, or on a new one; twice at most."""
        may_replace = True
        while True:
            delivery = Delivery(self._settings, envelope)
            try:
                connection, is_new = self._ready_connection()
                self._raise_if_aborted()
                may_replace = may_replace and not is_new
                delivery.prepare(connection, source, all_or_nothing=all_or_nothing)
                return delivery.run(connection)
            except SMTPError as exc:
                if not (delivery.was_turned_away or isinstance(exc, LocalProtocolError)):
                    self._drop()
                if may_replace and delivery.was_stale and not self._is_aborted:
                    may_replace = False
                    continue
                exc.outcomes, exc.replies = delivery.states()
                raise
            except BaseException:
                self._drop()
                raise
            finally:
                if delivery.is_over:
                    self._drop()

    def _ready_connection(self) -> tuple[Connection, bool]:
        """Return a live connection, and whether it was opened just now."""
        connection = self._connection
        if connection is not None and connection.transport.is_idle():
            return connection, not connection.is_used
        self._drop()
        return self._open(), True

    def _open(self) -> Connection:
        """Open a connection that `abort` can end on its way: the flag first, then the socket."""
        try:
            self._connection = connection = open_connection(
                self._settings, check=self._raise_if_aborted, on_transport=self._watch
            )
            self._raise_if_aborted()
        finally:
            self._opening = None
        return connection

    def _watch(self, transport: Transport) -> None:
        self._opening = transport
        self._raise_if_aborted()

    def _raise_if_aborted(self) -> None:
        if self._is_aborted:
            raise ConnectionLost("the session was aborted")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abort()

    def _acquire(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise LocalProtocolError(
                "the session is in use by another thread", hint="give each thread its own Session"
            )

    def _release(self) -> None:
        """Give the session back; what `abort` asked for while it was in use happens here.

        Asked again after the release: `abort` may come between the first look and it.
        """
        while True:
            if self._is_aborted:
                self._is_aborted = self._is_open = False
                self._drop()
            self._busy.release()
            if not self._is_aborted or not self._busy.acquire(blocking=False):
                return


def _envelope_of(source: Source, sender: str | None, recipients: Iterable[str] | None) -> Envelope:
    if sender is None or recipients is None:
        fields = source.fields()
        sender = sender_from(fields) if sender is None else sender
        recipients = recipients_from(fields) if recipients is None else recipients
    return Envelope.of(sender, recipients)
