"""`TLSEngine`: TLS by Schannel without I/O, for those who bring their own: asyncio, proxies, tests.

::

              feed  ┌───────────┐  read
    network  ──────►│ TLSEngine ├──────►  application
    (records)◄──────┤           │◄──────  (application data)
              drain └───────────┘  write

How it is driven. No call waits for the network. After every call, and also after an exception, send
what `drain` returns; when a call has nothing to give (`Want.READ`, None, 0 bytes taken) `feed` it
what the network brought, or tell it by `feed_eof` that nothing more comes. Whoever has fed a whole
server's flight gets its answer; whoever feeds single bytes gets there as well::

    engine = schannel_ffi.TLSEngine(server_hostname="example.org")
    while (want := engine.handshake()) is not Want.NOTHING:
        send(engine.drain())
        if want is Want.VERIFY:
            engine.verify(time.monotonic() + 10)
        elif data := receive():
            engine.feed(data)
        else:
            engine.feed_eof()
    send(engine.drain())

Errors are those of `TLSSocket`. The first one that ends the connection stays: later calls raise it
again. What was decrypted before it is still read.
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from schannel_ffi import _lib
from schannel_ffi.config import ClientCertificate, TLSConfig
from schannel_ffi.credential_request import CredentialRequests, with_certificate
from schannel_ffi.errors import CertificateError, TLSError, TruncatedStream
from schannel_ffi.handle_use import HandleUse
from schannel_ffi.negotiated import Negotiated
from schannel_ffi.role import role_of

__all__ = ["EngineState", "TLSEngine", "Want"]

T = TypeVar("T")


class Want(enum.Enum):
    """What the handshake is waiting for; numbered as `schan_result`."""

    NOTHING = 0
    """The connection is open."""
    READ = 1
    """More records: send what `drain` gives, then `feed`."""
    VERIFY = 3
    """The verdict on the peer: call `verify`."""
    CREDENTIAL = 4
    """The client certificate to present: call `provide_credential` (with `asks_for_credential`)."""


class EngineState(enum.Enum):
    """Where a connection stands; numbered as `schan_state`."""

    START = 0
    HANDSHAKE = 1
    VERIFY = 2
    OPEN = 3
    POST_HANDSHAKE = 4
    FAILED = 5


class TLSEngine(Negotiated):
    """One TLS connection as a machine that turns bytes into bytes.

    Threads: any may call; calls take turns, and only `verify` waits. In which order two threads'
    bytes go is the callers' business. `on_client_certificate` is called by `handshake`, `read` or
    `write`; when it raises, the request stays, and the next call asks again.

    A context manager. An engine that is not closed warns (ResourceWarning) when it is collected.
    """

    def __init__(
        self,
        config: TLSConfig | None = None,
        *,
        server_hostname: str | None = None,
        server_side: bool = False,
        asks_for_credential: bool = False,
    ) -> None:
        """Make an engine; it has nothing to send before the first `handshake`.

        Args:
            config: settings; the defaults of `TLSConfig` if None.
            server_hostname: the name that is sent as SNI and that the certificate must be for. It
                may be None only with `insecure_skip_verify`, and must be for a server.
            server_side: take the server's part, with `server_certificate` of the settings.
            asks_for_credential: `handshake` answers `Want.CREDENTIAL` when the server asks for a
                certificate: for who cannot choose at once, as `on_client_certificate` must.

        Raises:
            ValueError: no `server_hostname`, or one that is no host name; settings that do not fit.
            CredentialError: Windows has no credential for these settings.
            UnsupportedPlatform: this is not Windows.
        """
        _lib.require()
        self._config = config or TLSConfig()
        self._role = role_of(
            self._config, server_hostname, is_server=server_side, asks=asks_for_credential
        )
        self._verification: _lib.Verification | None = None
        self._refusal: Callable[[], CertificateError] | None = None
        self._engine = _lib.Engine(self._config, self._role)
        self._use = HandleUse(self._engine.free, of="engine")
        self._requests = CredentialRequests(self._config, self._use, self._engine)

    def _call(self, step: Callable[[], T]) -> T:
        """Return the result of a call of the engine, in turn with those of other threads."""
        turn, doing = self._use.reading, "waiting for its turn"

        def call() -> T:
            return self._use.call(turn, lambda _: (step(),), doing=doing, timeout=None)[0]

        try:
            return self._requests.answering(call, math.inf)
        except CertificateError:
            if self._refusal is None:
                raise
            raise self._refusal() from None  # in the words of the verdict, each time

    @contextmanager
    def _asking(self) -> Iterator[_lib.EngineOwner]:
        with self._use.reading, self._use.hold():
            yield self._engine

    # ------------------------------------------------------------------------------- the network

    def feed(self, data: Any) -> None:
        """Take records that the network brought.

        Args:
            data: bytes-like, 0 bytes and more, cut anywhere, copied. What comes behind the peer's
                close_notify is ignored.

        Raises:
            TLSError: the connection is over (the error that ended it).
        """
        self._call(lambda: self._engine.feed(data))

    def feed_eof(self) -> None:
        """Tell that TCP has ended; the next `handshake` or `read` says whether it is too early."""
        self._call(self._engine.feed_eof)

    def drain(self, max_bytes: int | None = None) -> bytes:
        """Return records for the network, and forget them: they must leave, in this order.

        Args:
            max_bytes: 0 bytes and more; None: all that there are.

        Returns:
            At most `max_bytes` bytes, cut anywhere; b"" when there is nothing to send.
        """
        return self._call(lambda: self._engine.drain(_at_most(self._engine.unsent(), max_bytes)))

    def has_unsent(self) -> bool:
        """Tell whether `drain` has something to return."""
        return self._call(self._engine.unsent) > 0

    # ------------------------------------------------------------------------------ the handshake

    def handshake(self) -> Want:
        """Go on with the handshake as far as the records fed allow; drain afterwards.

        Returns:
            What is missing: `Want.NOTHING` when the connection is open, also when it was before.

        Raises:
            HandshakeError, PeerAlert: the two sides did not agree; there may be an alert to drain.
            TruncatedStream: TCP ended before the handshake did.

        Source: RFC 8446, 4; Microsoft Learn, "InitializeSecurityContext (Schannel)".
        """
        try:
            return Want(self._call(self._engine.handshake))
        except _lib.CredentialWanted:
            return Want.CREDENTIAL

    @property
    def issuers(self) -> tuple[bytes, ...]:
        """Whose certificates the server takes, at `Want.CREDENTIAL`: X.500 names, DER; often ()."""
        return self._call(self._engine.issuers)

    def provide_credential(self, certificate: ClientCertificate | None) -> None:
        """Answer `Want.CREDENTIAL`; go on with `handshake`.

        Args:
            certificate: what to present; None: nothing, which the server may not like.

        Raises:
            CredentialError: Windows cannot use it.
            TLSError: nothing was asked.
        """
        chosen = with_certificate(self._config, certificate)
        self._call(lambda: self._engine.provide_credential(chosen))

    def verify(self, deadline: float | None = None) -> None:
        """Judge the peer's certificate; wait for the verdict until `deadline`.

        Windows may fetch certificates and revocation lists meanwhile, on a thread of its own. The
        other methods may be used from other threads during that time; `close` ends the wait. Run it
        in an executor where waiting is not allowed. Does nothing once the peer is accepted.

        Args:
            deadline: a time of `time.monotonic()`, in seconds; one that is over asks only whether
                the verdict is there; None: no limit.

        Raises:
            CertificateError: the certificate was refused; there is an alert to drain.
            TLSTimeout: no verdict until `deadline`. The judging goes on: another call gets its
                result, and `close` abandons it.
            TLSError: the handshake is not that far.

        Source: RFC 5280, 6; RFC 9525; Microsoft Learn, "CertGetCertificateChain".
        """
        deadline = math.inf if deadline is None else deadline
        doing = "verification of the peer's certificate"
        try:
            if (verification := self._call(self._begin_verification)) is not None:
                verdict = self._use.wait(verification.wait, deadline, doing)
                self._call(lambda: self._conclude(verification, verdict))
        finally:
            if self._use.is_closed:
                self._verification = None  # B86: abandoned; it frees what it uses by itself

    def _begin_verification(self) -> _lib.Verification | None:
        """Return the running verification, None when there is nothing (more) to verify."""
        if self._is_open():
            return None
        if self._config.insecure_skip_verify and not self._config.pins:
            self._engine.accept()
            return None
        if EngineState(self._engine.state()) is EngineState.FAILED:
            self._engine.handshake()  # raises what ended the connection
        if self._verification is None:
            self._verification = _lib.Verification(
                self._engine,
                self._config,
                self._role.name,
                peer_is_client=self._role.is_server,
                in_turn=self._call,
            )
        return self._verification

    def _conclude(self, verification: _lib.Verification, verdict: Any) -> None:
        if self._is_open():  # another thread was as fast
            return
        chain = verification.chain()
        self._verification = None
        if verdict.reason == 0:
            self._engine.accept()
            self._chain = chain
            return
        self._engine.refuse(verdict)
        peer = str(self._role.name or "the peer")
        shown = chain or self._engine.sent_certificates()[:1]
        self._refusal = partial(_lib.certificate_failure, peer, verdict, shown)
        raise self._refusal()

    def _is_open(self) -> bool:
        return EngineState(self._engine.state()) in {EngineState.OPEN, EngineState.POST_HANDSHAKE}

    # --------------------------------------------------------------------------- application data

    def write(self, data: Any) -> int:
        """Encrypt application data; drain afterwards.

        Args:
            data: bytes-like, 0 bytes and more, copied.

        Returns:
            How many bytes were taken, 0..len(data). Fewer than given: drain, then give the rest; if
            there is nothing to drain, a message of the peer is half there: feed and `read` first.

        Raises:
            TLSError: the peer is not verified yet, or `unwrap` has ended this direction; or the
                connection is over.

        Source: RFC 8446, 5.1; Microsoft Learn, "EncryptMessage (Schannel)".
        """
        return self._call(lambda: self._engine.write(_lib.Outgoing([data])))

    def read(self, max_bytes: int = 65536) -> bytes | None:
        """Return decrypted application data, at most `max_bytes`, as `io.RawIOBase.read` does.

        Drain when it has returned None: the peer may have asked for an answer (RFC 8446, 4.6.3).

        Args:
            max_bytes: 1 byte and more.

        Returns:
            1..max_bytes bytes; b"" only after the peer's close_notify; None: `feed` more records.

        Raises:
            TruncatedStream: TCP ended without close_notify, so data may be missing.
            TLSError: a record could not be decrypted, or the peer is not verified yet; or the
                server asks for a certificate behind the handshake: `provide_credential` answers.

        Source: RFC 8446, 5.2; Microsoft Learn, "DecryptMessage (Schannel)".
        """
        if max_bytes < 1:
            raise ValueError(f"max_bytes is 1 and more, not {max_bytes}")
        try:
            return self._call(lambda: self._engine.read(max_bytes))
        except TruncatedStream as error:
            if self._config.require_close_notify or not _lib.is_between_records(error):
                raise
            return b""

    def pending(self) -> int:
        """Return how many bytes `read` would return without being fed, 0..16384."""
        return self._call(self._engine.pending)

    # -------------------------------------------------------------------------------------- ending

    @property
    def peer_closed(self) -> bool:
        """Whether the peer's close_notify has been read: its direction has ended."""
        return self._call(self._engine.peer_closed)

    @property
    def state(self) -> EngineState:
        """Where the connection stands."""
        return EngineState(self._call(self._engine.state))

    def unwrap(self) -> bool:
        """End the own direction by close_notify, and tell whether the peer has ended its one.

        Drain afterwards. As long as it says False, go on reading (until b"") and call it again;
        what is read meanwhile is data like any other.

        Raises:
            TruncatedStream: TCP ended without the peer's close_notify.
            TLSError: bytes that are no TLS came together with close_notify.

        Source: RFC 8446, 6.1.
        """
        return self._call(self._unwrap)

    def _unwrap(self) -> bool:
        self._engine.shutdown()
        if not self._engine.is_at_end():
            return False
        if left_over := self._engine.left_over():
            raise TLSError(f"{left_over} bytes that are no TLS came together with close_notify")
        return True

    def close(self) -> None:
        """Give the engine's memory back; what was not drained is lost. May be repeated.

        It sends nothing: the peer learns of a clean end by `unwrap` and what it has to drain.
        """
        self._use.close(_nothing, _nothing)
        self._verification = None

    def __enter__(self) -> TLSEngine:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Warn about an engine that was not closed, and close it."""
        use: HandleUse | None = getattr(self, "_use", None)
        if use is not None and not use.is_closed:
            self.close()
            warnings.warn("unclosed TLSEngine", ResourceWarning, source=self, stacklevel=2)


def _at_most(size: int, limit: int | None) -> int:
    if limit is not None and limit < 0:
        raise ValueError(f"max_bytes is 0 and more, not {limit}")
    return size if limit is None else min(size, limit)


def _nothing() -> None:
    """Do nothing: nobody waits in here for what closing could wake."""
