"""`TLSEngine` where something waits: the verdict, an event loop, another thread.

Verification that never comes back is scripted (B86); asyncio talks to a loopback server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from behaviours import exchange
from certs import HOST, Certificates
from clients import stream
from fake_sspi import FakeSSPI
from fake_sspi_script import Initialize
from fake_sspi_types import Status
from fake_system import FakeSystem
from loopback import TLSServer
from scripted_engine import FINISHED, FLIGHT, HELLO
from scripted_judge import SAN
from waits import PATIENCE_S, in_thread, interrupted

from schannel_ffi import (
    EngineState,
    SocketClosed,
    TLSConfig,
    TLSEngine,
    TLSTimeout,
    TrustStore,
    Want,
    _lib,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]


@pytest.fixture
def silent(sspi: FakeSSPI, system: FakeSystem) -> Iterator[TLSEngine]:
    """An engine past its handshake, on a Windows whose verification waits for `system.gate`."""
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    sspi.peer_certificate = lambda: system.certificate(SAN)
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    system.gate.clear()
    engine = TLSEngine(server_hostname=HOST)
    engine.feed(FLIGHT)
    assert engine.handshake() is Want.VERIFY
    yield engine
    system.gate.set()
    engine.close()
    _lib.use_function_table(None)
    _lib.use_system_table(None)


# --- the verdict --------------------------------------------------------------------------------


def test_verdict_that_does_not_come_ends_the_wait_and_nothing_else(
    silent: TLSEngine, system: FakeSystem
) -> None:
    began = time.monotonic()

    with pytest.raises(TLSTimeout, match="verification"):
        silent.verify(began + 0.2)
    elapsed = time.monotonic() - began
    system.gate.set()
    silent.verify()

    assert 0.15 < elapsed < 0.2 + PATIENCE_S
    assert EngineState.OPEN is silent.state
    assert 1 == len(system.requests)  # the same verification went on


def test_deadline_that_is_over_asks_without_waiting(silent: TLSEngine) -> None:
    began = time.monotonic()

    with pytest.raises(TLSTimeout):
        silent.verify(0.0)

    assert time.monotonic() - began < PATIENCE_S


def test_close_ends_the_wait_of_another_thread(silent: TLSEngine, system: FakeSystem) -> None:
    with in_thread(silent.verify) as waiting:
        assert system.has_entered.wait(10.0)
        began = time.monotonic()
        silent.close()
        waiting.thread.join(10.0)

    assert time.monotonic() - began < PATIENCE_S
    assert [SocketClosed] == [type(error) for error in waiting.error]


def test_engine_is_fed_while_another_thread_waits(silent: TLSEngine, system: FakeSystem) -> None:
    with in_thread(silent.verify) as waiting:
        assert system.has_entered.wait(10.0)
        silent.feed(b"\x17\x03\x03")
        sent = silent.drain()
        system.gate.set()

    assert ([], HELLO + FINISHED) == (waiting.error, sent)


def test_ctrl_c_ends_the_wait_and_nothing_else(silent: TLSEngine, system: FakeSystem) -> None:
    waited = interrupted(silent.verify)
    system.gate.set()
    silent.verify()

    assert waited < PATIENCE_S


def test_verdict_for_two_threads_is_given_once(silent: TLSEngine, system: FakeSystem) -> None:
    with in_thread(silent.verify) as one, in_thread(silent.verify) as other:
        assert system.has_entered.wait(10.0)
        system.gate.set()

    assert ([], []) == (one.error, other.error)
    assert EngineState.OPEN is silent.state


# --- threads ------------------------------------------------------------------------------------


def test_threads_take_turns(silent: TLSEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[threading.Event] = [threading.Event(), threading.Event()]
    may_leave = threading.Event()
    arrivals = iter(entered)

    def slow(_: _lib.Engine) -> int:
        next(arrivals).set()
        may_leave.wait(10.0)
        return 0

    monkeypatch.setattr(_lib.Engine, "pending", slow)
    with in_thread(silent.pending) as one:
        assert entered[0].wait(10.0)
        with in_thread(silent.pending) as other:
            came_together = entered[1].wait(0.2)
            may_leave.set()

    assert (False, [], []) == (came_together, one.error, other.error)
    assert entered[1].is_set()


def test_close_in_the_middle_of_a_call_waits_for_its_end(
    silent: TLSEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain = _lib.Engine.drain

    def drain_and_close(engine: _lib.Engine, max_bytes: int) -> bytes:
        silent.close()  # a signal handler may do so
        return drain(engine, max_bytes)

    monkeypatch.setattr(_lib.Engine, "drain", drain_and_close)

    assert HELLO + FINISHED == silent.drain()
    with pytest.raises(SocketClosed):
        silent.drain()


def test_close_as_a_verification_begins_abandons_it(
    silent: TLSEngine, system: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = _lib.Verification

    def begin_and_close(*arguments: Any, **how: Any) -> _lib.Verification:
        verification = begin(*arguments, **how)
        silent.close()
        return verification

    monkeypatch.setattr(_lib, "Verification", begin_and_close)

    with pytest.raises(SocketClosed):
        silent.verify()
    system.gate.set()

    assert system.all_is_freed.wait(10.0)


# --- asyncio ------------------------------------------------------------------------------------


class Stream:
    """TLS over asyncio's streams: how such a program drives an engine."""

    def __init__(
        self, engine: TLSEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._engine, self._reader, self._writer = engine, reader, writer

    async def shake_hands(self) -> None:
        while (want := self._engine.handshake()) is not Want.NOTHING:
            if want is Want.VERIFY:
                await asyncio.to_thread(self._engine.verify, time.monotonic() + 10)
            else:
                await self._exchange()
        await self._send()

    async def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._engine.write(left) :]
            await self._send()

    async def read(self) -> bytes:
        while (data := self._engine.read()) is None:
            await self._exchange()
        return data

    async def close(self) -> None:
        while not self._engine.unwrap():
            await self._send()
            await self.read()
        self._writer.close()
        await self._writer.wait_closed()

    async def _exchange(self) -> None:
        await self._send()
        if records := await self._reader.read(65536):
            self._engine.feed(records)
        else:
            self._engine.feed_eof()

    async def _send(self) -> None:
        self._writer.write(self._engine.drain())
        await self._writer.drain()


async def talk(address: tuple[str, int], config: TLSConfig, data: bytes, expected: int) -> bytes:
    """Send `data`, read `expected` bytes, end TLS."""
    reader, writer = await asyncio.open_connection(*address)
    with TLSEngine(config, server_hostname=HOST) as engine:
        stream = Stream(engine, reader, writer)
        await stream.shake_hands()
        await stream.write(data)
        received = bytearray()
        while len(received) < expected:
            received += await stream.read()
        await stream.close()
    return bytes(received)


def test_asyncio_program_talks_through_an_engine(
    tls_server: StartTLS, certificates: Certificates
) -> None:
    there, back = stream(400_000, seed=1), stream(300_000, seed=2)
    server = tls_server(serve=exchange(back))
    config = TLSConfig(trust=TrustStore.from_pem(certificates.good.anchor_pem))

    received = asyncio.run(talk(server.address, config, there, len(back)))

    conversation = server.conversation()
    assert (back, there) == (received, bytes(conversation.received))
