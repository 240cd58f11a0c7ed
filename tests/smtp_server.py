"""A loopback SMTP server for tests and the demo, whose misbehaviour is an argument.

    replies = {"RCPT <bad@x>": "550 5.1.1 no"}
    with SMTPServer(security="starttls", tls=context, replies=replies) as server:
        ...connect to ("127.0.0.1", server.port)...
    server.messages[0].data

Threads and blocking sockets; runs on every OS. Where a stage is named: CONNECT (the greeting),
EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, EOD (the verdict on a message), RSET, NOOP, QUIT.
"""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

_EOD = b"\r\n.\r\n"
_RECEIVE_BYTES = 262144

Replies = Mapping[str, "str | Sequence[str]"]


@dataclass(frozen=True)
class ReceivedMessage:
    """A message as it came.

    Attributes:
        sender, recipients: What stood between the angle brackets.
        parameters: What followed the sender, such as "SIZE=12".
        data: Without dot-stuffing and the final dot.
        is_encrypted: Whether it came through TLS.
        login: The user of AUTH, or None.
        connection: 0 for the first connection, 1 for the next, ...
    """

    sender: str
    recipients: tuple[str, ...]
    parameters: tuple[str, ...]
    data: bytes
    is_encrypted: bool
    login: str | None
    connection: int


@dataclass
class Script:
    """How the server behaves. Everything has a friendly default.

    Attributes:
        security: "plain", "starttls" or "tls".
        tls: The ssl.SSLContext of the server, for the latter two.
        capabilities: EHLO keywords besides STARTTLS and AUTH.
        users: user -> password; AUTH PLAIN LOGIN is offered if not empty.
        auth_line: The EHLO line for AUTH, instead of "AUTH PLAIN LOGIN".
        challenges: What it says in turn to a client that uses another mechanism; the
            responses are noted in `responses`, and then it is welcome.
        greeting: The text after "220 ".
        replies: "VERB" or "VERB <path>" -> the reply instead of the usual one, without line
            end; a list is used up one by one (then the usual reply comes back). "" is silence.
        stall_at: The stage at which the server stops answering, its connection left open.
        drop_at: The stage at which it closes instead of answering.
        drop_after: The stage after whose answer it closes.
        misbehaving_connections: How many connections stall or drop; None is all.
        chunk: Bytes per write, to split replies; None writes each answer whole.
        surplus_after_starttls: Plaintext sent together with the reply 220.
        early_reply: (bytes, reply): sent when so much of a message came; then it closes.
        stops_reading_at: The size of a message at which reading stops, nothing said.
        seconds: The deadline of every wait.
        keeps_messages: Whether `messages` grows; `on_message` is called either way.
    """

    security: str = "plain"
    tls: ssl.SSLContext | None = None
    capabilities: Sequence[str] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 104857600")
    users: Mapping[str, str] = field(default_factory=dict)
    auth_line: str = "AUTH PLAIN LOGIN"
    challenges: Sequence[bytes] = ()
    greeting: str = "loopback ESMTP"
    replies: Replies = field(default_factory=dict)
    stall_at: str | None = None
    drop_at: str | None = None
    drop_after: str | None = None
    misbehaving_connections: int | None = None
    chunk: int | None = None
    surplus_after_starttls: bytes = b""
    early_reply: tuple[int, str] | None = None
    stops_reading_at: int | None = None
    seconds: float = 30.0
    keeps_messages: bool = True
    on_message: Callable[[ReceivedMessage], None] | None = None


class SMTPServer:
    """A server on a free loopback port; a context manager.

    Attributes:
        host, port: Where it listens.
        messages: What was accepted (`ReceivedMessage`).
        commands: Every command line of every connection, without line end.
        reads: The bytes of each recv but those of message bodies, one per TLS record.
        bodies: Message bodies as they came, dot-stuffed, also the refused ones.
        responses: What clients said to `challenges`, the initial response first.
        connections: How many were accepted so far.
        errors: What went wrong in a connection and was not asked for.
    """

    def __init__(self, host: str = "127.0.0.1", **script: Any) -> None:
        """Listen. `script` is the fields of Script."""
        self.script = Script(**script)
        self.messages: list[ReceivedMessage] = []
        self.commands: list[bytes] = []
        self.reads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.responses: list[bytes] = []
        self.errors: list[BaseException] = []
        self.connections = 0
        self.scripted: dict[str, Iterator[str]] = {
            key: repeat(value) if isinstance(value, str) else iter(value)
            for key, value in self.script.replies.items()
        }
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=64)
        self.host, self.port = host, int(self._listener.getsockname()[1])

    def __enter__(self) -> SMTPServer:
        """Start to accept."""
        thread = threading.Thread(target=self._accept, name="smtp-accept", daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """Stop: close every connection and wait for the threads."""
        self.stopping.set()
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=5):
            pass  # wakes accept on every OS, which closing the listener does not
        self._threads[0].join(timeout=5)
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.stopping.is_set():
                sock.close()
                return
            with self._lock:
                self._sockets.add(sock)
            number, self.connections = self.connections, self.connections + 1
            thread = threading.Thread(
                target=self._serve, args=(sock, number), name=f"smtp-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        conversation = _Conversation(self, sock, number)
        try:
            conversation.run()
        except (_Close, OSError):
            pass
        except BaseException as exc:  # noqa: BLE001  # a test looks at it
            self.errors.append(exc)
        finally:
            conversation.close()


class _Close(Exception):
    """The conversation is over."""


class _Conversation:
    """One connection of one client."""

    def __init__(self, server: SMTPServer, sock: socket.socket, number: int) -> None:
        self._server = server
        self._script = server.script
        self._sock = sock
        self._number = number
        self._buffer = b""
        self._is_encrypted = False
        self._login: str | None = None
        self._envelope: tuple[str, tuple[str, ...], list[str]] | None = None
        self._out: list[str] = []
        self._queue_number = 0

    def run(self) -> None:
        self._sock.settimeout(self._script.seconds)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._script.security == "tls":
            self._start_tls()
        self._answer("CONNECT", f"220 {self._script.greeting}")
        while True:
            line = self._line()
            verb = line[:8].split(b" ")[0].split(b":")[0].upper().decode("ascii", "replace")
            handler = getattr(self, f"_on_{verb.lower()}", None)
            if handler is None:
                self._answer(verb, "500 5.5.1 unknown command")
            else:
                handler(line.decode("utf-8", "replace"))

    def close(self) -> None:
        with self._server._lock:
            self._server._sockets.discard(self._sock)
        with suppress(OSError):
            self._sock.close()

    def _on_ehlo(self, line: str) -> None:
        del line
        offers = list(self._script.capabilities)
        if self._script.security == "starttls" and not self._is_encrypted:
            offers.append("STARTTLS")
        if self._script.users or self._script.challenges:
            offers.append(self._script.auth_line)
        lines = ["loopback", *offers]
        ends = ["-"] * (len(lines) - 1) + [" "]
        self._answer(
            "EHLO", "\r\n".join(f"250{end}{text}" for end, text in zip(ends, lines, strict=True))
        )

    def _on_helo(self, line: str) -> None:
        del line
        self._answer("HELO", "250 loopback")

    def _on_starttls(self, line: str) -> None:
        del line
        said = self._answer("STARTTLS", "220 2.0.0 go ahead", self._script.surplus_after_starttls)
        if said.startswith("220"):
            self._buffer = b""
            self._start_tls()

    def _on_auth(self, line: str) -> None:
        _, mechanism, *initial = line.split(" ")
        if self._script.challenges:
            self._follow_challenges(initial[0])
            return
        if mechanism.upper() == "PLAIN":
            response = initial[0] if initial else self._challenge("")
            parts = _decode(response).split("\0")
            user, password = parts[1:3] if len(parts) == 3 else ("", "")
        else:
            user = _decode(initial[0] if initial else self._challenge("VXNlcm5hbWU6"))
            password = _decode(self._challenge("UGFzc3dvcmQ6"))
        if user in self._script.users and self._script.users[user] == password:
            self._login = user
            self._answer("AUTH", "235 2.7.0 welcome")
        else:
            self._answer("AUTH", "535 5.7.8 bad credentials")

    def _follow_challenges(self, response: str) -> None:
        self._server.responses.append(b"" if response == "=" else b64decode(response))
        for challenge in self._script.challenges:
            response = self._challenge(b64encode(challenge).decode("ascii"))
            if response == "*":
                self._answer("AUTH", "501 5.7.0 cancelled")
                return
            self._server.responses.append(b64decode(response))
        self._login = "by challenges"
        self._answer("AUTH", "235 2.7.0 welcome")

    def _on_mail(self, line: str) -> None:
        path, _, rest = line.partition("<")[2].rpartition(">")
        said = self._answer(f"MAIL <{path}>", "250 2.1.0 ok")
        self._envelope = (path, tuple(rest.split()), []) if said[:1] == "2" else None

    def _on_rcpt(self, line: str) -> None:
        path = line.partition("<")[2].rpartition(">")[0]
        usual = "503 5.5.1 MAIL first" if self._envelope is None else "250 2.1.5 ok"
        said = self._answer(f"RCPT <{path}>", usual)
        if self._envelope is not None and said[:1] == "2":
            self._envelope[2].append(path)

    def _on_data(self, line: str) -> None:
        del line
        has_recipients = self._envelope is not None and bool(self._envelope[2])
        usual = "354 go ahead" if has_recipients else "503 5.5.1 RCPT first"
        if self._answer("DATA", usual).startswith("354"):
            self._flush()
            self._take_message()

    def _on_rset(self, line: str) -> None:
        del line
        self._envelope = None
        self._answer("RSET", "250 2.0.0 ok")

    def _on_noop(self, line: str) -> None:
        del line
        self._answer("NOOP", "250 2.0.0 ok")

    def _on_quit(self, line: str) -> None:
        del line
        self._answer("QUIT", "221 2.0.0 bye")
        self._flush()
        raise _Close

    def _challenge(self, text: str) -> str:
        self._out.append(f"334 {text}\r\n")
        return self._line().decode("utf-8", "replace")

    def _take_message(self) -> None:
        raw = self._body()
        stuffed = raw[: -len(b".\r\n")]
        if self._script.keeps_messages:
            self._server.bodies.append(stuffed)
        data = stuffed
        if b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n")
        if data.startswith(b"."):
            data = data[1:]
        sender, parameters, recipients = self._envelope or ("", (), [])
        self._envelope = None
        self._queue_number += 1
        queue_id = f"Q{self._number}x{self._queue_number}"
        received = ReceivedMessage(
            sender, tuple(recipients), parameters, data, self._is_encrypted, self._login,
            self._number,
        )  # fmt: skip
        reply = self._choose("EOD", f"250 2.0.0 Ok: queued as {queue_id}")
        if reply.startswith("2"):
            if self._script.keeps_messages:
                self._server.messages.append(received)
            if self._script.on_message is not None:
                self._script.on_message(received)
        self._say("EOD", reply)

    def _body(self) -> bytes:
        """Receive up to and with the lone dot; only the seams are searched twice."""
        pieces: list[bytes] = []
        size = 0
        tail = b"\r\n"  # what comes before the first byte, so that a lone dot is found at once
        piece, self._buffer = self._buffer, b""
        while True:
            seam = tail + piece[:4]
            at = seam.find(_EOD)
            end = at + 5 - len(tail) if at >= 0 else piece.find(_EOD) + 5
            if at >= 0 or end >= 5:
                pieces.append(piece[:end])
                self._buffer = piece[end:]
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            tail = (tail + piece)[-4:] if len(piece) < 4 else piece[-4:]
            if size >= (self._script.stops_reading_at or size + 1):
                self._server.stopping.wait(self._script.seconds)
                raise _Close
            early = self._script.early_reply
            if early is not None and size >= early[0]:
                self._send_raw(early[1].encode() + b"\r\n")
                self._linger()
                raise _Close
            piece = self._receive()

    def _answer(self, what: str, usual: str, surplus: bytes = b"") -> str:
        reply = self._choose(what, usual)
        self._say(what.partition(" ")[0], reply, surplus)
        return reply

    def _choose(self, what: str, usual: str) -> str:
        """Return the scripted reply for "VERB <path>" or "VERB", else the usual one."""
        if not self._server.scripted:
            return usual
        for key in (what, what.partition(" ")[0]):
            reply = next(self._server.scripted.get(key, iter(())), None)
            if reply is not None:
                return reply
        return usual

    def _say(self, stage: str, reply: str, surplus: bytes = b"") -> None:
        script = self._script
        limit = script.misbehaving_connections
        misbehaves = limit is None or self._number < limit
        if misbehaves and stage in (script.stall_at, script.drop_at):
            self._flush()
            if stage == script.stall_at:
                self._linger()
            raise _Close
        if reply:
            self._out.append(reply + "\r\n")
        if surplus:
            self._flush(surplus)
        if not self._buffer or (misbehaves and stage == script.drop_after):
            self._flush()
        if misbehaves and stage == script.drop_after:
            raise _Close

    def _flush(self, surplus: bytes = b"") -> None:
        data = "".join(self._out).encode("utf-8", "surrogateescape") + surplus
        self._out.clear()
        self._send_raw(data)

    def _send_raw(self, data: bytes) -> None:
        step = self._script.chunk or len(data) or 1
        for start in range(0, len(data), step):
            self._sock.sendall(data[start : start + step])

    def _linger(self) -> None:
        """Read on without answering, until the client or the server goes."""
        while self._sock.recv(_RECEIVE_BYTES):
            pass

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._flush()
            piece = self._receive()
            self._server.reads.append(piece)
            self._buffer += piece
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        self._server.commands.append(line)
        return line

    def _receive(self) -> bytes:
        piece = self._sock.recv(_RECEIVE_BYTES)
        if not piece:
            raise _Close
        return piece

    def _start_tls(self) -> None:
        if self._script.tls is None:
            raise ValueError("a server with TLS needs tls=")
        plain = self._sock
        secured = self._script.tls.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        self._sock = secured
        with self._server._lock:
            self._server._sockets.discard(plain)
            self._server._sockets.add(secured)
        if self._server.stopping.is_set():
            raise _Close
        secured.do_handshake()
        self._is_encrypted = True


def _decode(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode("utf-8")
    except (Base64Error, UnicodeDecodeError):
        return ""
