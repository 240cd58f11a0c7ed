"""What a loopback server does with application data: `Script(serve=echo)`.

A behaviour returns when the client has ended its direction or when it has nothing more to do.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wire import READ_BYTES, TIME_LIMIT_S, ConversationOver, Stopped

if TYPE_CHECKING:
    from conversation import TLSConversation

Behaviour = Callable[["TLSConversation"], None]


def echo(conversation: TLSConversation) -> None:
    """Send back what comes."""
    while data := conversation.read():
        conversation.write(data)


def sink(conversation: TLSConversation) -> None:
    """Take what comes."""
    while conversation.read():
        pass


def take_then_send(data: bytes) -> Behaviour:
    """Take what comes; when the client has ended its direction, send `data`."""

    def take_and_send(conversation: TLSConversation) -> None:
        sink(conversation)
        conversation.write(data)

    return take_and_send


def leave(conversation: TLSConversation) -> None:
    """Go straight to the ending."""


def leave_when_spoken_to(conversation: TLSConversation) -> None:
    """Take what comes at once, then go to the ending: the client's handshake is done by then."""
    conversation.read()


def after(gate: threading.Event, behaviour: Behaviour) -> Behaviour:
    """Do nothing, not even read, until `gate` is set; then behave."""

    def wait_then_behave(conversation: TLSConversation) -> None:
        if not gate.wait(TIME_LIMIT_S):
            raise TimeoutError("the test never opened the gate")
        behaviour(conversation)

    return wait_then_behave


def exchange(data: bytes) -> Behaviour:
    """Send `data` and take what comes, both at once."""

    def send_and_take(conversation: TLSConversation) -> None:
        writer = threading.Thread(target=_write_all, args=(conversation, data), daemon=True)
        writer.start()
        try:
            sink(conversation)
        finally:  # the socket is closed next, whatever has ended us
            writer.join(TIME_LIMIT_S)

    return send_and_take


def send_in_two_halves(data: bytes, gate: threading.Event) -> Behaviour:
    """Send the first half of the records of `data`; the second when `gate` is set; then take."""

    def send_halves(conversation: TLSConversation) -> None:
        records = conversation.encrypt(data)
        conversation.wire.send(records[: len(records) // 2])
        if not gate.wait(TIME_LIMIT_S):
            raise TimeoutError("the test never opened the gate")
        conversation.wire.send(records[len(records) // 2 :])
        sink(conversation)

    return send_halves


def update_keys_and_echo(conversation: TLSConversation) -> None:
    """Send back what comes, each time with new keys on both sides (TLS 1.3)."""
    while data := conversation.read():
        conversation.key_update(request=True)
        conversation.write(data)


def echo_plaintext_after_close_notify(conversation: TLSConversation) -> None:
    """Wait for close_notify, answer it, send back what comes without TLS."""
    sink(conversation)
    conversation.close_notify()
    while data := conversation.channel.recv():
        conversation.channel.send(data)


def _write_all(conversation: TLSConversation, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(ConversationOver, Stopped, ConnectionError):
        while view:
            conversation.write(bytes(view[:READ_BYTES]))
            view = view[READ_BYTES:]
