"""`connect`, `wrap` and `TLSSocket`: TLS by Schannel with the interface of `ssl.SSLSocket`.

How it works. Python's socket object owns the handle; the C engine borrows its number, non-blocking.
Every public call computes one deadline and asks C for slices of time until then (`handle_use`).

Threads. One thread may receive while another sends; two receivers take turns. `close` may come from
any thread, and ends the others' calls.

Interruption. A timeout changes nothing: what was taken over leaves first in the next call. Only an
exception that comes from outside (KeyboardInterrupt) in the middle of a send closes the socket:
half a record must not be followed by another.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, TypeVar

from schannel_ffi import _lib, tcp
from schannel_ffi.config import TLSConfig
from schannel_ffi.credential_request import CredentialRequests
from schannel_ffi.engine import Want
from schannel_ffi.errors import ConnectionReset, TLSError, TLSTimeout, TruncatedStream, WouldBlock
from schannel_ffi.handle_use import HandleUse, deadline_of, time_left
from schannel_ffi.negotiated import Negotiated
from schannel_ffi.role import role_of
from schannel_ffi.server_name import ServerName

__all__ = ["TLSSocket", "connect", "wrap"]

MAX_RECV_BYTES: Final = 2**31 - 1
MOST_DROPPED_READS: Final = 64

T = TypeVar("T")


def connect(
    address: tuple[str, int],
    *,
    config: TLSConfig | None = None,
    server_hostname: str | None = None,
    timeout: float | None = 30.0,
    source_address: tuple[str, int] | None = None,
) -> TLSSocket:
    """Connect to a TLS server and return a socket whose peer is verified.

    Waits at most `timeout` for all of it: name resolution, all addresses (raced), TCP, handshake
    and verification.

    Args:
        address: host name or IP literal, and port 1..65535.
        config: settings; the defaults of `TLSConfig` if None.
        server_hostname: the name that is sent as SNI and that the certificate must be for, if not
            the host itself.
        timeout: seconds, None for no limit; afterwards the timeout of the socket.
        source_address: address and port to connect from.

    Raises:
        ValueError: a host name with control characters, a port out of range.
        TLSTimeout: the time was over.
        tcp.ConnectError: no address could be connected to (`ConnectionRefusedError` when all
            refused).
        CertificateError: the peer's certificate was refused; nothing was sent.
        HandshakeError, PeerAlert, TruncatedStream, ConnectionReset: the handshake failed.
        UnsupportedPlatform: this is not Windows.

    Source: RFC 8446; RFC 8305; Microsoft Learn, "Creating a Secure Connection Using Schannel".
    """
    _lib.require()
    host, port = address
    timeout = _checked_timeout(timeout)
    config = config or TLSConfig()
    role = role_of(
        config, server_hostname if server_hostname is not None else host, is_server=False
    )
    deadline = deadline_of(timeout)
    raw = open_tcp(host, port, deadline=deadline, source_address=source_address)
    return TLSSocket(raw, config, role, deadline=deadline, timeout=timeout)


def open_tcp(
    host: str,
    port: int,
    *,
    deadline: float,
    source_address: tuple[str, int] | None = None,
    check: Callable[[], None] | None = None,
) -> socket.socket:
    """As `tcp.open_connection`; on Windows this machine's own closed ports refuse at once."""
    return tcp.open_connection(
        host,
        port,
        deadline=deadline,
        source_address=source_address,
        check=check,
        prepare=_lib.refuse_at_once,  # B90
    )


def check_platform() -> None:
    """Raise `UnsupportedPlatform` where there is no Schannel, or no extension module for it."""
    _lib.require()


def wrap(
    sock: socket.socket,
    *,
    config: TLSConfig | None = None,
    server_hostname: str | None = None,
    server_side: bool = False,
    timeout: float | None = 30.0,
) -> TLSSocket:
    """Start TLS on a connected socket (STARTTLS of any protocol, proxies, servers).

    Takes the socket over, as `ssl.SSLContext.wrap_socket` does: `sock` is detached, also when the
    handshake fails. Waits at most `timeout` for handshake and verification.

    Args:
        sock: a connected stream socket with nothing left to read in any buffer of yours.
        config: settings; the defaults of `TLSConfig` if None.
        server_hostname: the name that is sent as SNI and that the certificate must be for. It may
            be None only with `insecure_skip_verify`, and must be for a server.
        server_side: take the server's part, with `server_certificate` of the settings; the client
            is asked for a certificate as `client_authentication` says.
        timeout: seconds, None for no limit; afterwards the timeout of the socket.

    Raises:
        ValueError: no `server_hostname`, or one that is no host name; settings that do not fit the
            part; not a stream socket.
        ConnectionReset: the socket is not connected (any more); it stays the caller's.
        CertificateError, HandshakeError, PeerAlert, TruncatedStream, ConnectionReset, TLSTimeout:
        as `connect`; where Schannel does not take the server's part (Wine before 9), a
        HandshakeError says so.
        UnsupportedPlatform: this is not Windows.
    """
    _lib.require()
    config = config or TLSConfig()
    timeout = _checked_timeout(timeout)
    role = role_of(config, server_hostname, is_server=server_side)
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("TLS needs a stream socket")
    try:
        sock.getpeername()
    except OSError as error:
        raise ConnectionReset("the socket is not connected", error_number=error.errno) from error
    raw = socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    return TLSSocket(raw, config, role, deadline=deadline_of(timeout), timeout=timeout)


class TLSSocket(Negotiated):
    """A TLS connection, made by `connect` and `wrap`; methods as those of `ssl.SSLSocket`.

    A context manager. A socket that is not closed warns (ResourceWarning) when it is collected.
    """

    def __init__(
        self,
        raw: socket.socket,
        config: TLSConfig,
        role: _lib.Role,
        *,
        deadline: float,
        timeout: float | None,
    ) -> None:
        """Take `raw` over, shake hands and verify the peer; close it when that fails."""
        self._raw = raw
        self._config = config
        self._owned = _Owned(raw)
        self._use = HandleUse(self._owned.release)
        self._io_refs = 0
        self._closes_with_files = False
        try:
            self._timeout = timeout
            if raw.gettimeout() != 0:
                raw.settimeout(0)
            self._owned.connection = _lib.Connection(config, role, raw.fileno())
            self._requests = CredentialRequests(config, self._use, self._owned.connection)
            self._begin(role, deadline)
        except BaseException:
            self._use.is_closed = True
            self._owned.release()
            raise

    # ------------------------------------------------------------------------------ handshake

    def _begin(self, role: _lib.Role, deadline: float) -> None:
        connection = self._engine
        wanted = self._requests.answering(
            lambda: self._use.wait(connection.handshake, deadline, "TLS handshake"),
            deadline,
            self._hang_up,
        )
        if Want(wanted) is Want.NOTHING:  # a server whose client has shown no certificate
            return
        if not self._config.insecure_skip_verify or self._config.pins:
            self._verify(role, deadline)
        connection.accept()
        self._use.wait(connection.flush, deadline, "TLS handshake")  # B85: what waited for it

    def _verify(self, role: _lib.Role, deadline: float) -> None:
        connection = self._engine
        verification = _lib.Verification(
            connection, self._config, role.name, peer_is_client=role.is_server
        )
        doing = "verification of the peer's certificate"
        verdict = self._use.wait(verification.wait, deadline, doing)
        self._chain = verification.chain()
        if verdict.reason:
            connection.refuse(verdict)
            shown = self._chain or connection.sent_certificates()[:1]
            raise _lib.certificate_failure(_peer_text(role.name, self._raw), verdict, shown)

    @property
    def _engine(self) -> _lib.Connection:
        assert self._owned.connection is not None, "there is one since __init__"
        return self._owned.connection

    def _call(self, turn: Any, step: Callable[[int], T | None], doing: str) -> T:
        """Return the result of `step`; `on_client_certificate` may be asked on the way."""
        timeout, deadline = self._timeout, deadline_of(self._timeout)

        def call() -> T:
            left = timeout and time_left(deadline)
            return self._use.call(turn, step, doing=doing, timeout=left)

        return self._requests.answering(call, deadline, self._hang_up)

    # ------------------------------------------------------------------------------ receiving

    def recv(self, max_bytes: int = 16384, flags: int = 0) -> bytes:
        """Return decrypted application data, at most `max_bytes`; wait for it if there is none.

        Waits until the socket's timeout. A timeout leaves the connection usable and loses nothing.

        Args:
            max_bytes: 0..2**31-1 bytes. One TLS record holds at most 16,384, so less may come.
            flags: must be 0, as for `ssl.SSLSocket`.

        Returns:
            1..max_bytes bytes; b"" only after the peer's close_notify (or where `max_bytes` is 0).

        Raises:
            TLSTimeout: nothing arrived in time.
            TruncatedStream: TCP ended without close_notify (RFC 8446, 6.1), so data may be missing.
            ConnectionReset: the peer reset the connection.
            TLSError: a record could not be decrypted; the connection is over.

        Source: RFC 8446 section 5.2; Microsoft Learn, "DecryptMessage (Schannel)".
        """
        _no_flags(flags)
        if not 0 <= max_bytes <= MAX_RECV_BYTES:
            raise ValueError(f"max_bytes is 0..{MAX_RECV_BYTES}, not {max_bytes}")
        if max_bytes == 0:
            return b""
        try:
            return self._call(
                self._use.reading, lambda ms: self._engine.recv(max_bytes, ms), "receiving"
            )
        except TruncatedStream as error:
            self._tolerate_truncation(error)
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Fill a writable bytes-like object with application data and return how many bytes came.

        As `recv`, but several records may come at once.

        Args:
            buffer: bytes-like, writable, contiguous.
            nbytes: at most so many bytes; 0: as many as fit.
            flags: must be 0.

        Returns:
            1..len(buffer); 0 only after the peer's close_notify, or where there is no room.

        Raises:
            As `recv`.
        """
        _no_flags(flags)
        if not 0 <= nbytes <= memoryview(buffer).nbytes:
            raise ValueError(f"nbytes is 0..{memoryview(buffer).nbytes}, not {nbytes}")
        room = _lib.writable_buffer(buffer, nbytes)
        if len(room) == 0:
            return 0
        try:
            return self._call(
                self._use.reading, lambda ms: self._engine.recv_into(room, ms), "receiving"
            )
        except TruncatedStream as error:
            self._tolerate_truncation(error)
            return 0

    def _tolerate_truncation(self, error: TruncatedStream) -> None:
        """Take an end between two records for the end of the stream, where the settings say so."""
        if self._config.require_close_notify or not _lib.is_between_records(error):
            raise error

    @property
    def has_pending(self) -> bool:
        """Whether `recv` would return, or raise, at once: select() does not see what lies here."""
        with self._use.hold():
            return self._engine.has_pending()

    def pending(self) -> int:
        """Return how many bytes `recv` would return without waiting for the network, 0..16384."""
        with self._use.hold():
            return self._engine.pending()

    # ----------------------------------------------------------------------------------------
    # -------------- sending

    def send(self, data: Any, flags: int = 0) -> int:
        """Encrypt and send `data`; return how many bytes were taken over.

        Waits until the socket's timeout for all of it to leave.

        Args:
            data: bytes-like, contiguous, 0..2**31-1 bytes; b"" sends what still waits.
            flags: must be 0.

        Returns:
            len(data); less when the time was over before, or in non-blocking mode. What was taken
            over and has not left yet (`has_unsent`) leaves first in the next call.

        Raises:
            TLSTimeout, WouldBlock: nothing was taken over in time.
            ConnectionReset, TLSError: the connection is over.

        Source: RFC 8446 section 5.1; Microsoft Learn, "EncryptMessage (Schannel)".
        """
        return self.sendmsg([data], (), flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Encrypt and send all of `data`; arguments as `send`, one timeout for all of it.

        Raises:
            TLSTimeout, WouldBlock: not all has left; `bytes_sent` of the error tells how many bytes
                were taken over, never to be given again.
            ConnectionReset, TLSError: the connection is over.
        """
        _no_flags(flags)
        outgoing = _lib.Outgoing([data])
        try:
            self._transmit(outgoing)
        except (TLSTimeout, WouldBlock) as error:
            error.bytes_sent = outgoing.sent
            raise

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[Any] = (),
        flags: int = 0,
        address: None = None,
    ) -> int:
        """Send several bytes-like objects as one; arguments, result and errors as `send`.

        `ancdata` and `address` must be empty: TLS has no place for them.
        """
        _no_flags(flags)
        if tuple(ancdata) or address is not None:
            raise ValueError("TLS carries neither ancillary data nor addresses")
        outgoing = _lib.Outgoing(list(buffers))
        try:
            self._transmit(outgoing)
        except (TLSTimeout, WouldBlock):
            if outgoing.sent == 0:
                raise
        return outgoing.sent

    def _transmit(self, outgoing: _lib.Outgoing) -> None:
        try:
            self._call(self._use.writing, lambda ms: self._engine.send(outgoing, ms), "sending")
        except (TLSError, MemoryError):
            raise
        except BaseException:
            self._use.close(self._wake, self._wake)  # no close_notify: half a record may have left
            raise

    @property
    def has_unsent(self) -> bool:
        """Data that `send` took over still waits here; the next sending call begins with it."""
        with self._use.hold():
            return self._engine.has_unsent()

    # ----------------------------------------------------------------------------------------
    # --------------- ending

    def unwrap(self) -> socket.socket:
        """End TLS in both directions and return the plain socket, which is the caller's again.

        Sends close_notify and waits for the peer's, until the socket's timeout.

        Raises:
            TLSError: application data is waiting that nobody has read (the connection stays open),
                or the peer sent something behind its close_notify before ours had left.
            TLSTimeout: the peer's close_notify did not come.
            TruncatedStream: TCP ended without it.

        Source: RFC 8446, 6.1.
        """
        self._call(self._use.writing, self._engine.shutdown, "sending close_notify")
        doing = "waiting for close_notify"
        if not self._call(self._use.reading, self._engine.wait_for_end, doing):
            hint = 'read until b"" before unwrap'
            raise TLSError("application data came instead of close_notify", hint=hint)
        if left_over := self._engine.left_over():
            raise TLSError(f"{left_over} bytes that are no TLS came together with close_notify")
        self._use.give_up()
        self._engine.free()
        raw = self._raw
        plain = socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())
        plain.settimeout(self._timeout)
        return plain

    def shutdown(self, how: int) -> None:
        """End a direction: SHUT_WR sends close_notify, then ends TCP's; reading goes on.

        SHUT_RD and SHUT_RDWR end TCP's directions, SHUT_RDWR after close_notify.
        """
        if how in {socket.SHUT_WR, socket.SHUT_RDWR}:
            self._call(self._use.writing, self._engine.shutdown, "sending close_notify")
        with self._use.hold():
            self._raw.shutdown(how)

    def close(self) -> None:
        """Close the connection: close_notify where it can leave at once, then TCP.

        Does not wait; may be repeated.

        A thread that waits in another call gets `SocketClosed`.
        """
        if self._io_refs > 0:  # files of makefile() keep it open, as with socket.socket
            self._closes_with_files = True
            return
        self._hang_up()

    def _hang_up(self) -> None:
        """Close, whoever still has files of it."""
        self._use.close(self._say_goodbye, self._wake)

    def _say_goodbye(self) -> None:
        with suppress(TLSError, MemoryError):
            self._engine.shutdown(0)

    def _wake(self) -> None:
        with suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def detach(self) -> int:
        """Give the handle back without closing it; TLS is over, no close_notify is sent.

        Raises:
            TLSError: another thread uses the socket.
        """
        self._use.give_up()
        self._engine.free()
        self._raw.setblocking(True)  # noqa: FBT003 - as socket.socket has it
        return self._raw.detach()

    def __enter__(self) -> TLSSocket:
        """Return the socket."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Warn about a socket that was not closed, and close it."""
        use: HandleUse | None = getattr(self, "_use", None)
        if use is None or use.is_closed:
            return
        try:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        finally:
            self._io_refs = 0
            self.close()

    def __repr__(self) -> str:
        """Tell what it is connected to."""
        if self._use.is_closed:
            return "<TLSSocket closed>"
        return f"<TLSSocket {self.version()} fd={self.fileno()}>"

    # ----------------------------------------------------------------------------------------
    # ---- facts and settings

    @contextmanager
    def _asking(self) -> Iterator[_lib.EngineOwner]:
        with self._use.hold():
            yield self._engine

    def settimeout(self, timeout: float | None) -> None:
        """Set the seconds that each call may wait; None: for ever, 0: non-blocking."""
        self._timeout = _checked_timeout(timeout)

    def gettimeout(self) -> float | None:
        """Return the seconds that each call may wait."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as socket.socket
        """Set no timeout (True) or non-blocking mode (False)."""
        self._timeout = None if flag else 0.0

    def fileno(self) -> int:
        """Return the handle, -1 when closed. Readable does not mean: application data is there."""
        return -1 if self._use.is_closed else self._raw.fileno()

    def getpeername(self) -> Any:
        """Return the peer's address."""
        with self._use.hold():
            return self._raw.getpeername()

    def getsockname(self) -> Any:
        """Return the own address."""
        with self._use.hold():
            return self._raw.getsockname()

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the TCP socket."""
        with self._use.hold():
            self._raw.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option of the TCP socket."""
        with self._use.hold():
            if size:
                return self._raw.getsockopt(level, option, size)
            return self._raw.getsockopt(level, option)

    @property
    def family(self) -> int:
        """The address family."""
        return self._raw.family

    @property
    def type(self) -> int:
        """The socket type: SOCK_STREAM."""
        return self._raw.type

    @property
    def proto(self) -> int:
        """The protocol number."""
        return self._raw.proto

    # ----------------------------------------------------------------------------------------
    # ---------------- files

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Return a file object of the connection; as `socket.socket.makefile`."""
        self._use.check_open()
        make: Any = socket.socket.makefile  # needs _io_refs, recv_into, send, _decref_socketios
        return make(
            self,
            mode,
            buffering,
            encoding=encoding,
            errors=errors,
            newline=newline,
        )

    def _decref_socketios(self) -> None:
        """Count a file that was closed (`socket.SocketIO` calls this)."""
        self._io_refs = max(0, self._io_refs - 1)
        if self._closes_with_files and self._io_refs == 0:
            self.close()


class _Owned:
    """What a socket owns, given back at once by whoever used it last.

    Apart from the socket, so that a forgotten one is no cycle and is closed without waiting for the
    garbage collector.
    """

    def __init__(self, raw: socket.socket) -> None:
        """Own the TCP socket; the connection comes when it is made."""
        self.raw = raw
        self.connection: _lib.Connection | None = None

    def release(self) -> None:
        """Free the engine, then close TCP; harmless when repeated."""
        try:
            if self.connection is not None:
                self.connection.free()
                self._drop_unread()
        finally:
            self.raw.close()

    def _drop_unread(self) -> None:
        """Empty the receive buffer: TCP answers a close over unread bytes with a reset.

        A reset makes the peer lose what it has not read yet. Session tickets of TLS 1.3 lie there
        when a client only sends.
        """
        with suppress(OSError):
            self.raw.shutdown(socket.SHUT_WR)
            for _ in range(MOST_DROPPED_READS):
                if not self.raw.recv(65536):
                    break


# ------------------------------------------------------------------------------------------------
# ------------- helpers


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"a timeout is None or 0 seconds and more, not {timeout!r}")
    return None if timeout is None else float(timeout)


def _no_flags(flags: int) -> None:
    if flags:
        raise ValueError(f"non-zero flags are not possible with TLS: {flags}")


def _peer_text(name: ServerName | None, raw: socket.socket) -> str:
    if name is not None and name.dns_name:
        return name.dns_name
    with suppress(OSError):
        return str(raw.getpeername()[0])
    return "the peer"
