"""A byte stream that carries SMTP: sockets, TLS, deadlines (the only I/O besides `connection`).

Always true here: every wait has a deadline; what is raised is an SMTPError with the OSError
chained; bytes received before TLS are never seen after it (STARTTLS with surplus plaintext is an
error, as in RFC 3207 section 6 and CVE-2021-33515).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Protocol, cast

from schannel_ffi import tcp
from schannel_ffi.errors import UnsupportedPlatform
from schannel_ffi.smtp.errors import (
    ConnectionFailed,
    ConnectionLost,
    RemoteProtocolError,
    SMTPTimeout,
)
from schannel_ffi.smtp.reply import Reply, ReplyReader

_RECEIVE_BYTES = 65536
_PEEK_SECONDS = 0.001
_TIMEOUT_TOLERANCE_SECONDS = 0.05
_CERT_REQUIRED = 2  # the value of ssl.CERT_REQUIRED; importing ssl would load OpenSSL


class StreamSocket(Protocol):
    """What a socket must do, each as in `socket`; ssl.SSLSocket and TLSSocket do, too."""

    def settimeout(self, value: float | None, /) -> None: ...  # noqa: D102
    def recv(self, size: int, /) -> bytes: ...  # noqa: D102
    def sendall(self, data: Any, /) -> None: ...  # noqa: D102
    def fileno(self) -> int: ...  # noqa: D102
    def getsockname(self) -> Any: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Transport:
    """A connected stream of commands and replies. Not safe for two threads at once."""

    def __init__(self, sock: StreamSocket) -> None:
        """Take over a connected socket; setting TCP_NODELAY is its maker's business."""
        self._socket = sock
        self._reader = ReplyReader()
        self._timeout = -1.0  # what the socket's timeout was set to here
        self._is_sliced = os.name == "nt"
        self._closing = threading.Lock()  # nobody closes the handle while another uses it
        self._is_shut_down = False

    @property
    def has_surplus(self) -> bool:
        """Whether bytes were received that answer nothing."""
        return self._reader.has_pending

    def local_address(self) -> str:
        """Return this end's IP address, without scope id; "127.0.0.1" where there is none.

        Raises:
            ConnectionLost: the connection is gone already.
        """
        try:
            name = self._socket.getsockname()
        except OSError as exc:
            raise ConnectionLost(f"the connection was lost: {_text(exc)}") from exc
        address = name[0] if isinstance(name, tuple) else "127.0.0.1"
        return str(address).partition("%")[0]

    def send(self, data: bytes | memoryview, deadline: float) -> None:
        """Hand over all of `data` in one call; wait until it is taken or `deadline`.

        Raises:
            SMTPTimeout: the peer took too little of it in time. The connection is unusable.
            ConnectionLost: the peer closed or reset it.
        """
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise SMTPTimeout("no time left to send")
        try:
            self._limit_waits(0.9 * remaining, remaining)
            self._socket.sendall(data)
        except TimeoutError as exc:
            raise SMTPTimeout("the server stopped taking bytes") from exc
        except OSError as exc:
            raise ConnectionLost(f"the connection was lost while sending: {_text(exc)}") from exc

    def receive(self, deadline: float, waiting_for: str) -> Reply:
        """Return the next reply; wait for it until `deadline`.

        Raises:
            SMTPTimeout: it did not come in time.
            ConnectionLost: the connection ended first.
            RemoteProtocolError: what came is no reply.
        """
        while True:
            reply = self._reader.next_reply()
            if reply is not None:
                return reply
            self._reader.feed(self._receive_bytes(deadline, waiting_for))

    def try_receive(self) -> Reply | None:
        """Return a reply that is there already, else None, without waiting.

        TLS records without application data (session tickets) count as nothing.
        """
        while True:
            reply = self._reader.next_reply()
            if reply is not None or not self._is_readable():
                return reply
            try:
                self._reader.feed(self._receive_bytes(time.monotonic() + _PEEK_SECONDS, "anything"))
            except SMTPTimeout:
                return None

    def is_idle(self) -> bool:
        """Whether the connection is open and silent, as it must be between transactions.

        A server that hung up says 421 or closes; both are seen here without a round trip.
        """
        if self._reader.has_pending:
            return False
        if not self._is_readable():
            return True
        try:
            self._receive_bytes(time.monotonic() + _PEEK_SECONDS, "anything")
        except SMTPTimeout:
            return True
        except ConnectionLost:
            return False
        return False

    def start_tls(self, tls: Any, server_hostname: str, deadline: float) -> None:
        """Put TLS on top: handshake and verification until `deadline`.

        Raises:
            RemoteProtocolError: the server sent plaintext beyond its reply to STARTTLS.
            ConnectionFailed: TLS did not come about.
            ConnectionLost: `shut_down` was called meanwhile, when the handle is out of its reach.
        """
        if self._reader.has_pending:
            raise RemoteProtocolError(
                "the server sent plaintext after its reply to STARTTLS",
                hint="somebody may be tampering with the connection; try port 465",
            )
        self._socket = wrap(self._socket, tls, server_hostname, deadline, is_starttls=True)
        self._timeout = -1.0
        self._reader = ReplyReader()
        if self._is_shut_down:
            self.abort()
            raise ConnectionLost("the session was aborted")

    def close(self) -> None:
        """Close in good order: TLS may say close_notify, where it does not wait. Idempotent."""
        with self._closing, suppress(OSError):
            self._socket.close()

    def abort(self) -> None:
        """Close at once: nothing that was not sent yet leaves any more. Idempotent."""
        self.shut_down()
        self.close()

    def shut_down(self) -> None:
        """End TCP in both directions below TLS, from any thread; a thread that waits wakes.

        A TLS handshake under way ends first, in `start_tls`.

        Not by the TLS socket's own method: ssl.SSLSocket.shutdown goes back to plaintext first,
        so that another thread could send in clear in between, and TLSSocket's says close_notify,
        behind which queued records could still leave.
        """
        self._is_shut_down = True
        with self._closing, suppress(OSError, ValueError):
            raw = socket.socket(fileno=self._socket.fileno())
            try:
                raw.shutdown(socket.SHUT_RDWR)
            finally:
                raw.detach()  # the handle stays its owner's

    def _is_readable(self) -> bool:
        pending = getattr(self._socket, "pending", None)
        try:
            if pending is not None and pending():
                return True
            return bool(tcp.wait_ready([self._socket.fileno()], 0, for_writing=False))
        except (OSError, ValueError):
            return True  # the read tells what is wrong

    def _limit_waits(self, shortest: float, longest: float) -> None:
        """Set the socket's timeout, unless it is near enough already: each change is a call."""
        if not shortest <= self._timeout <= longest + _TIMEOUT_TOLERANCE_SECONDS:
            self._timeout = longest
            self._socket.settimeout(longest)

    def _receive_bytes(self, deadline: float, waiting_for: str) -> bytes:
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise SMTPTimeout(
                    f"the server did not answer in time (waiting for {waiting_for})",
                    hint="check host and port, or raise timeout=",
                )
            if self._is_sliced:  # Windows ends no wait for Ctrl-C
                remaining = min(remaining, tcp.WAIT_SECONDS)
            try:
                self._limit_waits(1.0, remaining)  # waiting goes on where this is too short
                data = self._socket.recv(_RECEIVE_BYTES)
            except (TimeoutError, BlockingIOError):
                continue
            except OSError as exc:
                raise ConnectionLost(
                    f"the connection was lost (waiting for {waiting_for}): {_text(exc)}"
                ) from exc
            if not data:
                raise ConnectionLost(
                    f"the server closed the connection (waiting for {waiting_for})"
                )
            return data


def wrap(
    sock: Any, tls: Any, server_hostname: str, deadline: float, *, is_starttls: bool = False
) -> StreamSocket:
    """Return `sock` with TLS on it: by an ssl.SSLContext if `tls` is one, else by Schannel.

    Closes `sock` when that fails. `is_starttls` decides what the hint of a failure says.

    Raises:
        ConnectionFailed: handshake or verification failed, or time ran out.
    """
    remaining = deadline - time.monotonic()
    try:
        if remaining <= 0:
            raise TimeoutError("timed out")
        if hasattr(tls, "wrap_socket"):
            sock.settimeout(remaining)
            return cast("StreamSocket", tls.wrap_socket(sock, server_hostname=server_hostname))
        from schannel_ffi import sockets  # the SMTP floor runs without it  # noqa: PLC0415

        return cast(
            "StreamSocket",
            sockets.wrap(sock, config=tls, server_hostname=server_hostname, timeout=remaining),
        )
    except BaseException as exc:
        sock.close()
        if isinstance(exc, OSError | ValueError):
            raise _tls_failure(exc, is_starttls=is_starttls) from exc
        raise


def check_platform(tls: object) -> None:
    """Raise ConnectionFailed, before anything is connected, where `tls` needs a Schannel."""
    if hasattr(tls, "wrap_socket"):
        return
    from schannel_ffi import sockets  # the SMTP floor runs without it  # noqa: PLC0415

    try:
        sockets.check_platform()
    except UnsupportedPlatform as exc:
        raise _tls_failure(exc, is_starttls=False) from exc


def is_verifying(tls: object) -> bool:
    """Return whether `tls` checks the server's certificate and its host name."""
    if hasattr(tls, "wrap_socket"):
        mode = getattr(tls, "verify_mode", None)
        return mode == _CERT_REQUIRED and bool(getattr(tls, "check_hostname", False))
    return not getattr(tls, "insecure_skip_verify", False)


def _tls_failure(exc: BaseException, *, is_starttls: bool) -> ConnectionFailed:
    text, hint = _text(exc), _tls_hint(exc, is_starttls=is_starttls)
    if is_starttls and getattr(exc, "symbol", "") == "not_tls":
        text = text.removesuffix(f"; {getattr(exc, 'hint', '')}")  # use STARTTLS, it says
    return ConnectionFailed(f"TLS failed: {text}", hint=hint)


def _tls_hint(exc: BaseException, *, is_starttls: bool) -> str:
    if isinstance(exc, UnsupportedPlatform):
        return "pass tls=ssl.create_default_context() where Schannel is not"
    hint = getattr(exc, "hint", "")
    if hint and not (is_starttls and getattr(exc, "symbol", "") == "not_tls"):
        return str(hint)
    if hasattr(exc, "verify_message"):  # an ssl.SSLCertVerificationError
        return "check server_hostname= and which authorities tls= trusts"
    if is_starttls:
        return 'does the server speak TLS after STARTTLS? try port 465 with security="tls"'
    return 'does the port start with TLS? 465 does; for 587 and 25 use security="starttls"'


def _text(exc: BaseException) -> str:
    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return " ".join(str(reason).split())
