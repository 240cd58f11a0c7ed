"""One connection of a loopback server: a `Script` says what it does, a `Conversation` what was.

The TLS is the stdlib's (OpenSSL) through MemoryBIO, so that `wire.Wire` decides about every TCP
segment.

What a client may do to a server (alerts, resets, going away) is recorded as a fact; anything else
is an error of the tests' machinery, kept for `raise_error`.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import openssl_extras
from behaviours import Behaviour, echo
from certs import Identity
from wire import (
    READ_BYTES,
    TIME_LIMIT_S,
    Channel,
    ConversationOver,
    Pacer,
    Shape,
    Stopped,
    Wire,
    each,
    first_record_length,
    last_record_start,
)


class Stage(enum.IntEnum):
    """How far a conversation has come; as `stall_at`: nothing is sent from here on."""

    ACCEPTED = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2  # one record of the server's first flight has left
    FINISHED = 3  # all has left but the server's Finished
    OPEN = 4
    ENDED = 5


class Ending(enum.Enum):
    """How the server ends a conversation."""

    CLOSE_NOTIFY = "close_notify, FIN"
    EOF = "FIN, no close_notify"
    RESET = "RST"
    SILENCE = "nothing, until the client has gone"


class ClientEnd(enum.Enum):
    """How the client ended its direction."""

    CLOSE_NOTIFY = "close_notify"
    EOF = "FIN, no close_notify"
    RESET = "RST"
    ALERT = "fatal alert"


@dataclass(kw_only=True)
class Script:
    """How a TLS server behaves.

    Handshake:
        version: the one version spoken. alpn: protocols, preferred first. tickets: TLS 1.3 session
        tickets sent. client_ca: PEM; ask for a client certificate and refuse others.
    Application data:
        banner: records sent at once after the handshake. banner_with_finished: in the segment that
        carries the server's Finished (TLS 1.3: 0.5-RTT data). glue: all banner records in one
        segment. serve: then.
    Segments:
        send_in_pieces_of, *_at, *_after: see `wire.Shape`; an iterator gives each connection its
        next position.
    End:
        stall_at: say nothing from that stage on. ending: see there. raw_after_*: sent without TLS.
    """

    identity: Identity
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    alpn: Sequence[str] = ()
    tickets: int = 2
    client_ca: bytes | None = None
    banner: Sequence[bytes] = ()
    banner_with_finished: bool = False
    glue: bool = False
    serve: Behaviour = echo
    send_in_pieces_of: int | None = None
    split_at: Iterator[int] | int | None = None
    eof_after: Iterator[int] | int | None = None
    reset_after: Iterator[int] | int | None = None
    stall_after: Iterator[int] | int | None = None
    flip_at: Iterator[int] | int | None = None
    stall_at: Stage | None = None
    ending: Ending = Ending.CLOSE_NOTIFY
    raw_after_handshake: bytes = b""
    raw_after_close_notify: bytes = b""

    def __post_init__(self) -> None:
        self._positions = {
            name: each(getattr(self, name))
            for name in ("split_at", "eof_after", "reset_after", "stall_after", "flip_at")
        }
        self.context = self._new_context()

    def next_shape(self) -> Shape:
        positions = {name: supply() for name, supply in self._positions.items()}
        split_at = positions.pop("split_at")
        return Shape(
            pieces_of=self.send_in_pieces_of,
            split_at=frozenset(() if split_at is None else (split_at,)),
            **positions,
        )

    def _new_context(self) -> ssl.SSLContext:
        context = self.identity.server_context()
        context.minimum_version = context.maximum_version = self.version
        context.num_tickets = self.tickets
        context.sni_callback = _note_server_name
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        if self.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.client_ca.decode("ascii"))
        return context


class Conversation(ABC):
    """One connection: what happened on it, and the calls that behaviours are made of.

    received: the application data, decrypted. client_end, alert: how the client ended. bytes_sent:
    ciphertext.
    """

    def __init__(self, channel: Channel, shape: Shape, pacer: Pacer | None) -> None:
        self.channel = channel
        self.wire = Wire(channel, shape, pacer)
        self.stage = Stage.ACCEPTED
        self.received = b""
        self.client_end: ClientEnd | None = None
        self.alert: str | None = None
        self.version: str | None = None
        self.alpn: str | None = None
        self.server_name: str | None = None
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def bytes_sent(self) -> int:
        return self.wire.sent

    @property
    def is_cut(self) -> bool:
        """True when eof_after, reset_after or stall_after ended it."""
        return self.wire.is_cut

    def reach(self, stage: Stage) -> None:
        with self._changed:
            self.stage = stage
            self._changed.notify_all()

    def wait_for(self, stage: Stage) -> None:
        """Wait until the conversation has come to `stage`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.stage >= stage, TIME_LIMIT_S):
                raise TimeoutError(f"the conversation stayed at {self.stage.name}")

    def raise_error(self) -> None:
        """Raise, once, what went wrong on the server's side."""
        error, self._error = self._error, None
        if error:
            raise error

    @abstractmethod
    def play(self) -> None:
        """Play the script from the connection's first byte to its end."""

    def run(self) -> None:
        """Play the script; sort what ends it into the client's doing and ours."""
        try:
            self.play()
        except (ConversationOver, Stopped):
            pass
        except ConnectionError:
            self.client_end = self.client_end or ClientEnd.RESET
        except ssl.SSLError as exc:
            self._note_tls_error(exc)
        except BaseException as exc:  # noqa: BLE001  # raised again in the test
            self._error = exc
        finally:
            self.wire.stop_pacing()
            self.channel.close()
            self.reach(Stage.ENDED)

    def _note_tls_error(self, exc: ssl.SSLError) -> None:
        reason = exc.reason or ""
        if isinstance(exc, ssl.SSLEOFError) or "EOF" in reason:
            self.client_end = self.client_end or ClientEnd.EOF
        elif "_ALERT_" in reason:
            self.client_end = ClientEnd.ALERT
            self.alert = reason.split("_ALERT_")[1].lower()
        else:
            self.alert = reason.lower()


class TLSConversation(Conversation):
    """A conversation that speaks TLS; one thread may read while another writes."""

    def __init__(
        self, channel: Channel, shape: Shape, pacer: Pacer | None, *, script: Script
    ) -> None:
        super().__init__(channel, shape, pacer)
        self.script = script
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = script.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._received: list[bytes] = []
        self._unsent_banner = script.banner
        self._tls_lock = threading.Lock()
        self._send_lock = threading.Lock()

    def read(self) -> bytes:
        """Return application data; b"" when the client has ended its direction (see client_end)."""
        while True:
            try:
                with self._tls_lock:
                    data = self.tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                self.flush()
                self.fill()
            except ssl.SSLZeroReturnError:
                return self._ended_by(ClientEnd.CLOSE_NOTIFY)
            except ssl.SSLEOFError:
                return self._ended_by(ClientEnd.EOF)
            else:
                self._received.append(data)
                return data or self._ended_by(ClientEnd.CLOSE_NOTIFY)

    def write(self, *records: bytes) -> None:
        """Send each of `records` as application data; all in one segment when several are given."""
        with self._send_lock:
            with self._tls_lock:
                for record in records:
                    self.tls.write(record)
                ciphertext = self._outgoing.read()
            self.wire.send(ciphertext)

    def encrypt(self, data: bytes) -> bytes:
        """Return the records of `data`; they have to be sent next, through `wire`."""
        with self._tls_lock:
            self.tls.write(data)
            return self._outgoing.read()

    def close_notify(self) -> None:
        """End our direction; reading goes on."""
        with self._tls_lock, contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.flush()

    def key_update(self, *, request: bool) -> None:
        with self._tls_lock:
            openssl_extras.key_update(self.tls, request=request)
        self.flush()

    def fill(self) -> None:
        """Take what the client sent into OpenSSL."""
        data = self.channel.recv()
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def flush(self) -> None:
        with self._send_lock:
            with self._tls_lock:
                ciphertext = self._outgoing.read()
            if ciphertext:
                self.wire.send(ciphertext)

    def play(self) -> None:
        try:
            self._handshake()
            self._greet()
            self.script.serve(self)
            self._finish()
        finally:
            self.received = b"".join(self._received)

    def _ended_by(self, end: ClientEnd) -> bytes:
        self.client_end = self.client_end or end
        return b""

    # --- handshake ---------------------------------------------------------------------------

    def _handshake(self) -> None:
        self._stall_if_at(Stage.ACCEPTED)
        if self.script.banner_with_finished and self.script.version is ssl.TLSVersion.TLSv1_3:
            self._answer_with_banner()
        while not self._handshake_is_done():
            self._flush_flight()
            self.fill()
            self._stall_if_at(Stage.CLIENT_HELLO)
        self.version, self.alpn = self.tls.version(), self.tls.selected_alpn_protocol()
        self.server_name = getattr(self.tls, "requested_name", None)

    def _handshake_is_done(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            self.flush()  # our alert
            raise
        return True

    def _answer_with_banner(self) -> None:
        while not openssl_extras.answer_client_hello(self.tls):
            self.fill()
        openssl_extras.write_before_client_finished(self.tls, b"".join(self._unsent_banner))
        self._unsent_banner = ()
        self.flush()

    def _flush_flight(self) -> None:
        flight = self._outgoing.read()
        if not flight:
            return
        if self.script.stall_at is Stage.SERVER_HELLO:
            self._send_and_stall(flight[: first_record_length(flight)])
        is_last_flight = self.script.version is ssl.TLSVersion.TLSv1_3
        if self.script.stall_at is Stage.FINISHED and is_last_flight:
            self._send_and_stall(flight[: last_record_start(flight)])
        self.wire.send(flight)
        self.reach(Stage.SERVER_HELLO)

    def _send_and_stall(self, data: bytes) -> None:
        self.wire.send(data)
        assert self.script.stall_at is not None
        self._stall_if_at(self.script.stall_at)

    def _stall_if_at(self, stage: Stage) -> None:
        self.reach(max(stage, self.stage))
        if self.script.stall_at is stage:
            self.wire.stall()

    # --- after it ----------------------------------------------------------------------------

    def _greet(self) -> None:
        script, banner = self.script, self._unsent_banner
        self._stall_if_at(Stage.FINISHED)
        if script.glue or script.banner_with_finished:
            self.write(*banner)
        else:
            self.flush()
            for record in banner:
                self.write(record)
        self.wire.send(script.raw_after_handshake)
        self._stall_if_at(Stage.OPEN)

    def _finish(self) -> None:
        ending = self.script.ending
        if ending is Ending.RESET:
            self.channel.reset()
            return
        if ending is Ending.CLOSE_NOTIFY:
            self.close_notify()
            self.wire.send(self.script.raw_after_close_notify)
            self._read_to_the_end()
        if ending is not Ending.SILENCE:
            self.channel.end()
        self._read_to_the_end()
        self.wire.stop_pacing()
        self.channel.drain()

    def _read_to_the_end(self) -> None:
        while self.client_end is None and self.read():
            pass


@dataclass(frozen=True, kw_only=True)
class RawScript:
    """How a server without TLS behaves: await the ClientHello unless it speaks first, answer."""

    answer: bytes
    speaks_first: bool = False
    ending: Ending = Ending.EOF


class RawConversation(Conversation):
    """A conversation without TLS."""

    def __init__(
        self, channel: Channel, shape: Shape, pacer: Pacer | None, *, script: RawScript
    ) -> None:
        super().__init__(channel, shape, pacer)
        self._script = script

    def play(self) -> None:
        if not self._script.speaks_first:
            self._take_first_record()
        self.reach(Stage.CLIENT_HELLO)
        self.wire.send(self._script.answer)
        if self._script.ending is Ending.RESET:
            self.channel.reset()
            return
        if self._script.ending is Ending.EOF:
            self.channel.end()
        self.channel.drain()

    def _take_first_record(self) -> None:
        while len(self.received) < 5 or len(self.received) < first_record_length(self.received):
            data = self.channel.recv()
            if not data:
                raise ConversationOver
            self.received += data


def _note_server_name(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    tls.requested_name = name  # type: ignore[attr-defined]  # read back by the conversation
