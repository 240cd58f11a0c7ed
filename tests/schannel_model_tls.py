"""One end of a TLS connection, record by record: what the model's Schannel is made of.

OpenSSL does the TLS (ssl.SSLObject over two MemoryBIOs). It gets one whole record at a time, and
its message callback tells what was in it, so that the model knows what Windows would say to it.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
from dataclasses import dataclass, field
from typing import Any

from openssl_extras import key_update
from schannel_model_openssl import WANT_X509_LOOKUP, Extras

RECORD_HEADER = 5
MOST_RECORD_BYTES = RECORD_HEADER + 16384 + 2048
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
TLS_1_3 = "TLSv1.3"
_INNER_CONTENT_TYPE = 257
_DER = 2  # _ssl.ENCODING_DER
_ALPN_EXTENSION = 16


class Message(enum.IntEnum):
    """Handshake messages (RFC 8446, 4; RFC 5246, 7.4)."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    NEW_SESSION_TICKET = 4
    CERTIFICATE_REQUEST = 13
    KEY_UPDATE = 24


class Progress(enum.Enum):
    """What came of giving OpenSSL one more record of a handshake."""

    DONE = "the handshake is done"
    WANT_RECORD = "more is needed"
    WANT_CREDENTIAL = "the server asks for a certificate"
    FAILED = "the handshake failed; `error` says why"


@dataclass
class Received:
    """What one record held."""

    data: bytes = b""
    is_close_notify: bool = False
    error: ssl.SSLError | None = None
    kind: int = APPLICATION_DATA
    messages: list[tuple[int, bytes]] = field(default_factory=list)


def record_at(data: bytes, start: int = 0) -> int | None:
    """Return the size of the record that begins at `start`; None: its header is not all there.

    Raises: ValueError: those bytes are no TLS record.
    """
    header = data[start : start + RECORD_HEADER]
    if header and not CHANGE_CIPHER_SPEC <= header[0] <= 24:
        raise ValueError(f"content type {header[0]}")
    if len(header) > 1 and header[1] != 3:
        raise ValueError(f"version {header[1]}")
    if len(header) < RECORD_HEADER:
        return None
    size = RECORD_HEADER + int.from_bytes(header[3:5], "big")
    if size > MOST_RECORD_BYTES:
        raise ValueError(f"a record of {size} bytes")
    return size


def records_of(data: bytes) -> list[bytes]:
    """Split what OpenSSL wrote into its records."""
    found, start = [], 0
    while start < len(data):
        size = record_at(data, start)
        assert size is not None
        found.append(data[start : start + size])
        start += size
    return found


def vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """Return a vector with a length of `width` bytes (RFC 8446, 3.4), and what stands behind it."""
    end = width + int.from_bytes(data[:width], "big")
    return data[width:end], data[end:]


def extension_of(extensions: bytes, wanted: int) -> bytes | None:
    """Return one of a list of extensions (RFC 8446, 4.2)."""
    while extensions:
        kind = int.from_bytes(extensions[:2], "big")
        data, extensions = vector(extensions[2:], 2)
        if kind == wanted:
            return data
    return None


def names_of(alpn: bytes) -> list[bytes]:
    """Split RFC 7301's list of names."""
    names = []
    while alpn:
        name, alpn = vector(alpn, 1)
        names.append(name)
    return names


def offered_protocols(client_hello: bytes) -> list[bytes]:
    """Return what a ClientHello (RFC 8446, 4.1.2) offers by ALPN."""
    if not client_hello:
        return []
    _session, rest = vector(client_hello[4 + 2 + 32 :], 1)
    _suites, rest = vector(rest, 2)
    _compressions, rest = vector(rest, 1)
    offer = extension_of(vector(rest, 2)[0], _ALPN_EXTENSION)
    return [] if offer is None else names_of(vector(offer, 2)[0])


def watch(context: ssl.SSLContext) -> None:
    """Have connections of this context told what their records hold."""
    context._msg_callback = _tell  # type: ignore[attr-defined]  # private, but there is no other


def _tell(tls: Any, direction: str, _version: int, kind: int, message: int, data: bytes) -> None:
    endpoint = getattr(tls, "endpoint", None)
    if endpoint is not None:
        endpoint.note(direction, int(kind), data)


class Endpoint:
    """Client or server of one connection.

    client_hello, certificate_request: the messages of these kinds, as they came. sequence: how many
    records were sent under the present keys.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        is_server: bool,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=is_server,
            server_hostname=name or None,
            session=session,
        )
        self.tls.endpoint = self  # type: ignore[attr-defined]  # read by _tell
        self.extras = Extras(self.tls)
        self.is_server = is_server
        self.is_open = False
        self.may_send_certificate = False
        self.has_updated_keys = False
        self.client_hello = b""
        self.certificate_request = b""
        self.error: ssl.SSLError | None = None
        self.sequence = 0
        self._messages: list[tuple[int, bytes]] = []
        self._inner_kind: int | None = None
        self.extras.log_keys()
        if not is_server:
            self.extras.on_certificate_request(lambda: self.may_send_certificate)

    def close(self) -> None:
        """Let go of OpenSSL's object."""
        self.tls.endpoint = None  # type: ignore[attr-defined]

    @property
    def is_tls13(self) -> bool:
        return self.tls.version() == TLS_1_3

    # --- what OpenSSL tells ------------------------------------------------------------------

    def note(self, direction: str, kind: int, data: bytes) -> None:
        """Remember what a record or message was; called in the middle of OpenSSL."""
        if direction != "read":
            return
        if kind == _INNER_CONTENT_TYPE:
            self._inner_kind = data[0]
        elif kind == HANDSHAKE:
            self._messages.append((data[0], data))
            if data[0] == Message.CERTIFICATE_REQUEST:
                self.certificate_request = data
            elif data[0] == Message.CLIENT_HELLO:
                self.client_hello = data

    def _forget_messages(self) -> None:
        self._messages, self._inner_kind = [], None

    # --- handshake ---------------------------------------------------------------------------

    def advance(self, record: bytes = b"") -> Progress:
        """Give OpenSSL one record (or nothing, at the start) and go on with the handshake."""
        self._incoming.write(record)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return Progress.WANT_RECORD
        except ssl.SSLError as error:
            if error.errno == WANT_X509_LOOKUP:
                return Progress.WANT_CREDENTIAL
            self.error = error
            return Progress.FAILED
        return Progress.DONE

    def take_output(self) -> bytes:
        """Return the records that OpenSSL wants sent."""
        output = self._outgoing.read()
        for record in records_of(output):
            self.sequence = 0 if record[0] == CHANGE_CIPHER_SPEC else self.sequence + 1
        return output

    def finish(self) -> bytes:
        """Note that the handshake is done; return its last records.

        Under TLS 1.3 a server's are tickets, which have the keys of application data already.
        """
        output = self.take_output()
        if self.is_tls13:
            self.sequence = len(records_of(output)) if self.is_server else 0
        self.is_open = True
        return output

    def output_size(self) -> int:
        return self._outgoing.pending

    # --- records -----------------------------------------------------------------------------

    def receive(self, record: bytes) -> Received:
        """Give OpenSSL one record of an open connection."""
        self._forget_messages()
        self._incoming.write(record)
        received = Received(kind=record[0])
        try:
            received.data = self.tls.read(MOST_RECORD_BYTES)
            received.is_close_notify = not received.data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            received.is_close_notify = True
        except ssl.SSLError as error:
            received.error = error
        received.kind = record[0] if self._inner_kind is None else self._inner_kind
        received.messages = self._messages
        if any(kind == Message.KEY_UPDATE for kind, _ in received.messages):
            self.has_updated_keys = True
        return received

    def seal(self, data: bytes) -> bytes:
        """Return the record (or records) of application data."""
        self.tls.write(data)
        return self.take_output()

    def answer(self, messages: list[tuple[int, bytes]]) -> bytes:
        """Return what post-handshake messages are answered with, if anything."""
        if any(kind == Message.KEY_UPDATE and data[-1] == 1 for kind, data in messages):
            return self.update_keys(request=False)  # OpenSSL would wait for the next write
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.take_output()

    def close_notify(self) -> bytes:
        """End our direction; return the record of the alert."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.take_output()

    def update_keys(self, *, request: bool) -> bytes:
        """Return a KeyUpdate of our own."""
        key_update(self.tls, request=request)
        self.has_updated_keys = True
        return self.take_output()

    def ask_to_renegotiate(self) -> bytes:
        """Return a HelloRequest."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.extras.renegotiate()
        return self.take_output()

    # --- facts -------------------------------------------------------------------------------

    def header_size(self) -> int:
        """Return how many bytes stand before the data of a record: header, explicit nonce or IV."""
        suite = self.extras.cipher_suite()
        if self.is_tls13 or "CHACHA20" in suite:
            return RECORD_HEADER
        return RECORD_HEADER + (8 if "GCM" in suite or "CCM" in suite else 16)

    def peer_chain(self) -> list[bytes]:
        """Return the certificates that the peer sent, leaf first, as DER."""
        leaf: bytes | None = self.tls.getpeercert(binary_form=True)
        if not leaf:
            return []
        inner: Any = self.tls._sslobj  # type: ignore[attr-defined]  # public from 3.13 on
        sent = inner.get_unverified_chain() or ()
        chain = [bytes(each.public_bytes(_DER)) for each in sent]
        return [leaf, *(der for der in chain if der != leaf)]
