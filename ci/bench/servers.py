"""The servers of `ci/bench.py`: they run on the host's own Python, beside the clients.

    stdin     one JSON line of settings, then a line for every time the figures are wanted
    stdout    one JSON line of facts, then a JSON line of figures each time

The bulk server must never be the limit, so it works on no byte that it can leave alone while a
client's clock runs:

* `sink`: after the command, records are received and counted by their headers, not decrypted.
  (Their plaintext's size is exact: AEAD records have a fixed overhead.)
* `source`: the records are encrypted beforehand; when the client says go, they are sent.
* `verify`: what comes is decrypted and compared; that is never timed.

A client's commands are 32 bytes, `verb size`, padded with spaces; sizes are multiples of BLOCK.
The mail server is that of the tests; every message is compared with what it should be.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import trustme

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from smtp_server import ReceivedMessage, SMTPServer

BLOCK = random.Random(0).randbytes(1 << 20)  # the clients make the same
COMMAND_BYTES = 32
RECEIVE_BYTES = 1 << 20
OVERHEAD = {"TLSv1.2": 24, "TLSv1.3": 17}  # AES-GCM: RFC 5288 and RFC 8446 section 5.2
SECONDS = 120.0


class Link:
    """One connection of a client: TLS in memory, so that the socket can be used without it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._raw = sock
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self) -> None:
        """Take the handshake to its end."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.sendall(self._outgoing.read())

    def _feed(self) -> None:
        piece = self._raw.recv(RECEIVE_BYTES)
        if not piece:
            raise EOFError
        self._incoming.write(piece)

    def receive(self, wanted: int) -> bytearray:
        """Return exactly `wanted` bytes of application data."""
        data = bytearray(wanted)
        view = memoryview(data)
        tls = cast("Any", self._tls)  # typeshed misses that read() into a buffer returns its size
        while view:
            try:
                size = tls.read(len(view), view)
            except ssl.SSLWantReadError:
                self._feed()
                continue
            if not size:  # close_notify
                raise EOFError
            view = view[size:]
        return data

    def send(self, data: bytes) -> None:
        """Encrypt and send."""
        self._tls.write(data)
        self._flush()

    def encrypted(self, data: bytes, times: int) -> list[bytes]:
        """Return `data`, `times` times, as records that must leave next."""
        pieces = []
        for _ in range(times):
            self._tls.write(data)
            pieces.append(self._outgoing.read())
        return pieces

    def send_records(self, pieces: list[bytes]) -> None:
        """Send what `encrypted` has made."""
        for piece in pieces:
            self._raw.sendall(piece)

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the suite, the version and the strength in bits."""
        return self._tls.cipher()

    def plaintext_sizes(self) -> Iterator[int]:
        """Receive records without decrypting them; yield how much each holds.

        From then on nothing can be received by `receive` any more.
        """
        overhead = OVERHEAD[self._tls.version() or ""]
        buffer = bytearray(RECEIVE_BYTES)
        view = memoryview(buffer)
        held = 0
        while True:
            received = self._raw.recv_into(view[held:])
            if not received:
                return
            held += received
            at = 0
            while at + 5 <= held:
                size = buffer[at + 3] << 8 | buffer[at + 4]
                if at + 5 + size > held:
                    break
                yield size - overhead if buffer[at] == 23 else 0
                at += 5 + size
            buffer[: held - at] = buffer[at:held]
            held -= at


class BulkServer:
    """Sink and source on a free loopback port.

    Attributes:
        port: Where it listens.
        cipher: The suite of the last connection.
        busy: Seconds of CPU that it has used while a client's clock was running.
        errors: What went wrong.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        """Listen and accept."""
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.cipher: tuple[str, str, int] | None = None
        self.busy = 0.0
        self.errors: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(EOFError, ConnectionError):
            try:
                self._obey(Link(sock, self._context))
            except (ssl.SSLError, ValueError, TimeoutError) as exc:
                self.errors.append(f"{type(exc).__name__}: {exc}")

    def _obey(self, link: Link) -> None:
        link.shake_hands()
        self.cipher = link.cipher()
        while True:
            verb, size_text = link.receive(COMMAND_BYTES).decode("ascii").split()
            size = int(size_text)
            if verb == "verify":
                is_good = link.receive(size) == BLOCK * (size // len(BLOCK))
                link.send(b"=" if is_good else b"!")
            elif verb == "source":
                self._be_source(link, size)
            elif verb == "sink":
                link.send(b"r")
                self._be_sink(link, size)
                return
            else:
                raise ValueError(f"unknown command {verb!r}")

    def _be_source(self, link: Link, size: int) -> None:
        ready = link.encrypted(b"r", 1)
        records = link.encrypted(BLOCK, size // len(BLOCK))
        link.send_records(ready)
        link.receive(1)
        start = time.thread_time()
        link.send_records(records)
        self.busy += time.thread_time() - start

    def _be_sink(self, link: Link, size: int) -> None:
        """Answer with a byte whenever `size` bytes have come."""
        left = size
        start = time.thread_time()
        for part in link.plaintext_sizes():
            left -= part
            if left < 0:
                raise ValueError("more came than was announced")
            if left == 0:
                self.busy += time.thread_time() - start
                link.send(b"d")
                left = size
                start = time.thread_time()


class MailServer:
    """The tests' SMTP server, with PIPELINING, and a count of messages good and bad."""

    def __init__(self, context: ssl.SSLContext, expected: bytes) -> None:
        """Listen and accept."""
        self._expected = expected
        self.good = 0
        self.bad = 0
        self._server = SMTPServer(
            security="tls", tls=context, seconds=SECONDS,
            keeps_messages=False, on_message=self._count,
        )  # fmt: skip
        self._server.__enter__()
        self.port = self._server.port

    def _count(self, message: ReceivedMessage) -> None:
        is_good = message.data == self._expected and len(message.recipients) == 1
        self.good += is_good
        self.bad += not is_good
        for record in (self._server.commands, self._server.reads, self._server.bodies):
            record.clear()


def main() -> None:
    """Serve until stdin ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    # RSA: Wine 8 takes an ECDSA signature with a short r or s (1 in 128) for a bad one.
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    context = make_context(ca, settings["lane"])
    bulk = BulkServer(context)
    mail = MailServer(context, settings["message"].encode("ascii"))
    facts = {
        "bulk_port": bulk.port,
        "mail_port": mail.port,
        "anchor_pem": ca.cert_pem.bytes().decode("ascii"),
        "openssl": ssl.OPENSSL_VERSION,
    }
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        figures = {
            "busy": bulk.busy,
            "cpu": time.process_time(),
            "cipher": bulk.cipher,
            "errors": bulk.errors,
            "good": mail.good,
            "bad": mail.bad,
        }
        print(json.dumps(figures), flush=True)


def make_context(ca: trustme.CA, lane: str) -> ssl.SSLContext:
    """Return a server's settings with one protocol version and one cipher for everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = ssl.TLSVersion.TLSv1_3 if lane == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")  # TLS 1.3 prefers AES-256-GCM by itself
    context.num_tickets = 0  # the floor cannot take any
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


if __name__ == "__main__":
    main()
