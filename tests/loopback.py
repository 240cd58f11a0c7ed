"""Servers on the loopback interface, TLS and not; how they misbehave is an argument.

    script = Script(identity=certificates.good, banner=[b"220 ready\\r\\n"], send_in_pieces_of=1)
    with TLSServer(script) as server:
        ... a client connects to server.address ...
        server.conversation().received

Each connection is served in a thread of its own and leaves a `Conversation`. An error of the
server's own is raised by `conversation()` or by `close()`, so that it shows in the test.

Always true here: every wait has a deadline; no sleeps, no fixed ports, only 127.0.0.1 and ::1.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from conversation import (
    Conversation,
    Ending,
    RawConversation,
    RawScript,
    Script,
    Stage,
    TLSConversation,
)
from wire import TIME_LIMIT_S, Channel, Pacer, Shape


class Server:
    """A listening socket, and a thread for each connection; `converse` makes the conversation."""

    def __init__(
        self,
        converse: Callable[[Channel, Pacer | None], Conversation],
        *,
        host: str = "127.0.0.1",
        limit_s: float = TIME_LIMIT_S,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.conversations: list[Conversation] = []
        self._converse, self._limit_s = converse, limit_s
        self._changed = threading.Condition()
        self._pacers: dict[object, Pacer] = {}
        self._stop, self._stop_sender = socket.socketpair()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def conversation(self, number: int = -1, *, at: Stage = Stage.ENDED) -> Conversation:
        """Wait until a conversation (the last one unless told) has come to a stage; return it.

        Raises: what went wrong in the server's thread; TimeoutError.
        """
        wanted = number + 1 if number >= 0 else 1
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.conversations) >= wanted, self._limit_s):
                raise TimeoutError("nobody has connected")
            found = self.conversations[number]
        found.wait_for(at)
        found.raise_error()
        return found

    def connect(self, *, paced: bool = False) -> socket.socket:
        """Return a TCP socket connected to this server.

        paced: the server sends a segment only when this socket's owner has taken the one before.
        """
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(self._limit_s)
        if paced:
            client.bind((self.address[0], 0))
            self._pacers[client.getsockname()] = Pacer(client, time.monotonic() + self._limit_s)
        try:
            client.connect(self.address)
        except OSError:  # a server that resets at once
            client.close()
            raise
        return client

    def close(self) -> None:
        """Stop all threads; raise the first error that was not raised yet."""
        self._stop_sender.close()
        for pacer in self._pacers.values():
            pacer.close()
        for thread in self._threads:
            thread.join(self._limit_s)
        self._listener.close()
        self._stop.close()
        for conversation in self.conversations:
            conversation.raise_error()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            readable, _, _ = select.select([self._listener, self._stop], [], [])
            if self._stop in readable:
                return
            sock, peer = self._listener.accept()
            channel = Channel(sock, self._stop, time.monotonic() + self._limit_s)
            conversation = self._converse(channel, self._pacers.get(peer))
            thread = threading.Thread(target=conversation.run, daemon=True)
            self._threads.append(thread)
            with self._changed:
                self.conversations.append(conversation)
                self._changed.notify_all()
            thread.start()


class TLSServer(Server):
    """A server that speaks TLS as a `Script` says; the script's fields are the arguments."""

    def __init__(self, script: Script, *, host: str = "127.0.0.1") -> None:
        self.script = script
        super().__init__(self._new_conversation, host=host)

    def _new_conversation(self, channel: Channel, pacer: Pacer | None) -> Conversation:
        return TLSConversation(channel, self.script.next_shape(), pacer, script=self.script)


class RawServer(Server):
    """A server without TLS: takes the ClientHello (or `speaks_first`), answers with bytes, ends."""

    def __init__(
        self, answer: bytes = b"", *, speaks_first: bool = False, ending: Ending = Ending.EOF
    ) -> None:
        self._script = RawScript(answer=answer, speaks_first=speaks_first, ending=ending)
        super().__init__(self._new_conversation)

    def _new_conversation(self, channel: Channel, pacer: Pacer | None) -> Conversation:
        return RawConversation(channel, Shape(), pacer, script=self._script)


class RefusingAddress:
    """An address at which connections are refused: bound, so that it is ours; not listening."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()

    def close(self) -> None:
        self._socket.close()


class UnansweredAddress:
    """An address at which TCP connections are never completed: its backlog is full.

    Linux drops the SYN then; Windows refuses, so there is no such address there (`can_stall` is
    False).
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.settimeout(0.0)
            filler.connect_ex(self.address)
        self.can_stall = self._last_filler_is_waiting()

    def close(self) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()

    def _last_filler_is_waiting(self) -> bool:
        _, connected, failed = select.select([], self._fillers[-1:], self._fillers[-1:], 0.2)
        return not connected and not failed


def alert_record(description: int) -> bytes:
    """Return the plaintext record of a fatal alert."""
    return bytes((21, 3, 3, 0, 2, 2, description))
