"""The scripted table notices what it is there to notice. Runs everywhere: it is its own caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    APPLICATION_DATA,
    HANDSHAKE,
    Control,
    Decrypt,
    Encrypt,
    Initialize,
    record,
    seal,
)
from fake_sspi_types import REQUESTED, SCHANNEL_SHUTDOWN, Buffer, Flag, Status, ffi

Buffers = Sequence[tuple[int, bytes | None]]
FLIGHT, DATA = record(HANDSHAKE, b"flight"), record(APPLICATION_DATA, b"x" * 40)
PACKAGE = "Microsoft Unified Security Protocol Provider"
EMPTY: tuple[int, bytes | None] = (Buffer.EMPTY, None)
OUTPUT: Buffers = [(Buffer.TOKEN, None), (Buffer.ALERT, None), EMPTY]


class Caller:
    """Calls the table as an engine does, or worse."""

    def __init__(self) -> None:
        self.sspi = FakeSSPI()
        self.table = self.sspi.table
        self.credential, self.context = ffi.new("SecHandle *"), ffi.new("SecHandle *")
        self.kept: list[Any] = []

    def describe(self, buffers: Buffers) -> Any:
        array = ffi.new("SecBuffer[]", len(buffers))
        for buffer, (kind, data) in zip(array, buffers, strict=True):
            buffer.BufferType = kind
            if data is not None:
                memory = ffi.new("uint8_t[]", data)
                buffer.pvBuffer, buffer.cbBuffer = memory, len(data)
                self.kept.append(memory)
        self.kept.append(array)
        return ffi.new("SecBufferDesc *", (0, len(buffers), array))

    def acquire(self) -> int:
        null, auth = ffi.NULL, ffi.new("uint32_t *", 5)
        return int(
            self.table.AcquireCredentialsHandleW(
                null, PACKAGE, 2, null, auth, null, null, self.credential, ffi.new("TimeStamp *")
            )
        )

    def initialize(
        self,
        source: Buffers | None,
        *,
        first: bool = False,
        name: str = "server.test",
        flags: int = int(REQUESTED),
        output: Buffers | None = None,
    ) -> tuple[int, Any]:
        out = self.describe(OUTPUT if output is None else output)
        given = ffi.NULL if source is None else self.describe(source)
        status = self.table.InitializeSecurityContextW(
            self.credential,
            ffi.NULL if first else self.context,
            name,
            flags,
            0,
            0,
            given,
            0,
            self.context if first else ffi.NULL,
            out,
            ffi.new("uint32_t *"),
            ffi.new("TimeStamp *"),
        )
        for i in range(out.cBuffers):
            if out.pBuffers[i].pvBuffer != ffi.NULL:
                self.table.FreeContextBuffer(out.pBuffers[i].pvBuffer)
        return int(status), given

    def open(self) -> None:
        """Go through a handshake."""
        self.sspi.script(
            Initialize(token=b"hello"), Initialize(given=FLIGHT, status=Status.SEC_E_OK)
        )
        self.acquire()
        self.initialize(None, first=True)
        self.initialize([(Buffer.TOKEN, FLIGHT), EMPTY])

    def decrypt(self, buffers: Buffers) -> tuple[int, Any]:
        message = self.describe(buffers)
        status = self.table.DecryptMessage(self.context, message, 0, ffi.NULL)
        return int(status), message

    def encrypt(self, header: int, data: bytes, trailer: int) -> tuple[int, Any]:
        message = self.describe(
            [
                (Buffer.HEADER, bytes(header)),
                (Buffer.DATA, data),
                (Buffer.TRAILER, bytes(trailer)),
                EMPTY,
            ]
        )
        return int(self.table.EncryptMessage(self.context, 0, message, 0)), message

    def close(self) -> list[str]:
        """Free everything and return the problems."""
        self.table.DeleteSecurityContext(self.context)
        self.table.FreeCredentialsHandle(self.credential)
        return self.sspi.problems()


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def opened(caller: Caller) -> Caller:
    caller.open()
    return caller


def test_correct_caller_has_no_problems(opened: Caller) -> None:
    opened.sspi.script(Decrypt(given=DATA, data=b"250 ok"), Encrypt(data=b"QUIT"))
    _, message = opened.decrypt([(Buffer.DATA, DATA), EMPTY, EMPTY, EMPTY])
    found = {message.pBuffers[i].BufferType: message.pBuffers[i] for i in range(4)}
    data = found[Buffer.DATA]
    _, sealed = opened.encrypt(5, b"QUIT", 36)

    assert b"250 ok" == bytes(ffi.buffer(data.pvBuffer, data.cbBuffer))
    wire = b"".join(
        bytes(ffi.buffer(sealed.pBuffers[i].pvBuffer, sealed.pBuffers[i].cbBuffer))
        for i in range(3)
    )
    assert seal(b"QUIT") == wire
    assert [] == opened.close()


def test_what_is_not_given_back_is_counted(caller: Caller) -> None:
    caller.sspi.script(Initialize(token=b"hello"))
    caller.acquire()
    out = caller.describe(OUTPUT)
    caller.table.InitializeSecurityContextW(
        caller.credential, ffi.NULL, "a", int(REQUESTED), 0, 0, ffi.NULL, 0, caller.context, out,
        ffi.new("uint32_t *"), ffi.new("TimeStamp *"),
    )  # fmt: skip

    problems = " ".join(caller.sspi.problems())

    for kind in ("token at", "security context", "credential"):
        assert kind in problems


def test_steps_that_nobody_called_are_a_problem(caller: Caller) -> None:
    caller.sspi.script(Initialize())

    assert caller.sspi.problems()[0].startswith("never called")


BAD_INPUT = [
    ("one_buffer", [(Buffer.TOKEN, FLIGHT)]),
    ("empty_not_empty", [(Buffer.TOKEN, FLIGHT), (Buffer.EMPTY, b"x")]),
    ("wrong_order", [EMPTY, (Buffer.TOKEN, FLIGHT)]),
    ("three", [(Buffer.TOKEN, FLIGHT), EMPTY, EMPTY]),
    ("other_bytes", [(Buffer.TOKEN, FLIGHT + b"x"), EMPTY]),
    ("no_bytes", [(Buffer.TOKEN, b""), EMPTY]),
    ("null", None),
]


@pytest.mark.parametrize("source", [s for _, s in BAD_INPUT], ids=[name for name, _ in BAD_INPUT])
def test_bad_input_of_isc(caller: Caller, source: Buffers | None) -> None:
    caller.sspi.script(Initialize(token=b"hello"), Initialize(given=FLIGHT))
    caller.acquire()
    caller.initialize(None, first=True)

    caller.initialize(source)

    assert caller.sspi.misuses


BAD_CALLS: list[dict[str, Any]] = [
    {"name": "other.test"},
    {"flags": int(REQUESTED) & ~int(Flag.USE_SUPPLIED_CREDS)},
    {"flags": int(REQUESTED) & ~int(Flag.MANUAL_CRED_VALIDATION)},
    {"output": [(Buffer.TOKEN, None)]},
    {"output": [(Buffer.TOKEN, b"memory of ours"), (Buffer.ALERT, None), EMPTY]},
]


@pytest.mark.parametrize("bad", BAD_CALLS)
def test_bad_call_of_isc(caller: Caller, bad: dict[str, Any]) -> None:
    caller.sspi.script(Initialize(), Initialize(given=FLIGHT))
    caller.acquire()
    caller.initialize(None, first=True)

    caller.initialize([(Buffer.TOKEN, FLIGHT), EMPTY], **bad)

    assert caller.sspi.misuses


BAD_DECRYPTS = [
    ("three_buffers", [(Buffer.DATA, DATA), EMPTY, EMPTY]),
    ("two_data", [(Buffer.DATA, DATA), (Buffer.DATA, DATA), EMPTY, EMPTY]),
    ("no_data", [EMPTY, EMPTY, EMPTY, EMPTY]),
    ("not_empty", [(Buffer.DATA, DATA), (Buffer.EMPTY, b"x"), EMPTY, EMPTY]),
    ("two_records", [(Buffer.DATA, DATA + DATA), EMPTY, EMPTY, EMPTY]),
    ("half_a_record", [(Buffer.DATA, DATA[:9]), EMPTY, EMPTY, EMPTY]),
    ("torn_header", [(Buffer.DATA, DATA[:4]), EMPTY, EMPTY, EMPTY]),
]


@pytest.mark.parametrize(
    "buffers", [b for _, b in BAD_DECRYPTS], ids=[name for name, _ in BAD_DECRYPTS]
)
def test_bad_decrypt(opened: Caller, buffers: Buffers) -> None:
    opened.sspi.script(Decrypt(given=DATA))

    opened.decrypt(buffers)

    assert opened.sspi.misuses


@pytest.mark.parametrize(
    "status", [Status.SEC_I_RENEGOTIATE, Status.SEC_I_CONTEXT_EXPIRED, Status.SEC_E_DECRYPT_FAILURE]
)
def test_decrypt_after_what_forbids_it(opened: Caller, status: int) -> None:
    opened.sspi.script(Decrypt(given=DATA, status=status), Decrypt(given=DATA))
    whole: Buffers = [(Buffer.DATA, DATA), EMPTY, EMPTY, EMPTY]
    opened.decrypt(whole)
    before = list(opened.sspi.misuses)

    opened.decrypt(whole)

    assert ([], True) == (before, bool(opened.sspi.misuses))


@pytest.mark.parametrize(
    ("header", "size", "trailer"), [(5, 0, 36), (5, 16385, 36), (4, 1, 36), (5, 1, 16)]
)
def test_bad_encrypt(opened: Caller, header: int, size: int, trailer: int) -> None:
    opened.sspi.script(Encrypt(data=b"x" * size))

    opened.encrypt(header, b"x" * size, trailer)

    assert opened.sspi.misuses


@pytest.mark.parametrize("situation", ["post_handshake", "after_shutdown", "in_the_handshake"])
def test_encrypt_when_it_is_forbidden(caller: Caller, situation: str) -> None:
    if situation == "in_the_handshake":
        caller.sspi.script(Initialize())
        caller.acquire()
        caller.initialize(None, first=True)
    else:
        caller.open()
    if situation == "post_handshake":
        caller.sspi.script(Decrypt(given=DATA, status=Status.SEC_I_RENEGOTIATE))
        caller.decrypt([(Buffer.DATA, DATA), EMPTY, EMPTY, EMPTY])
    if situation == "after_shutdown":
        caller.sspi.script(Control(token=SCHANNEL_SHUTDOWN), Initialize(status=Status.SEC_E_OK))
        token = caller.describe([(Buffer.TOKEN, SCHANNEL_SHUTDOWN)])
        caller.table.ApplyControlToken(caller.context, token)
        caller.initialize(None)
    caller.sspi.script(Encrypt(data=b"x"))

    caller.encrypt(5, b"x", 36)

    assert caller.sspi.misuses


@pytest.mark.parametrize("buffers", [0, 2])
def test_control_token_is_one_buffer(opened: Caller, buffers: int) -> None:
    opened.sspi.script(Control(token=SCHANNEL_SHUTDOWN))
    token = (Buffer.TOKEN, SCHANNEL_SHUTDOWN)

    description = opened.describe([token] * max(1, buffers))
    description.cBuffers = buffers
    opened.table.ApplyControlToken(opened.context, description)

    assert opened.sspi.misuses


def test_credential_freed_before_its_context(opened: Caller) -> None:
    opened.table.FreeCredentialsHandle(opened.credential)

    assert opened.sspi.misuses


def test_calls_after_delete(opened: Caller) -> None:
    opened.table.DeleteSecurityContext(opened.context)
    value = ffi.new("StreamSizes *")
    opened.table.QueryContextAttributesW(opened.context, 4, value)
    opened.table.DeleteSecurityContext(opened.context)

    assert 2 == len(opened.sspi.misuses)


def test_free_of_what_is_not_sspis(opened: Caller) -> None:
    opened.table.FreeContextBuffer(ffi.new("uint8_t[]", b"ours"))

    assert opened.sspi.misuses


def test_call_that_the_script_does_not_have(opened: Caller) -> None:
    status, _ = opened.encrypt(5, b"x", 36)

    assert (True, True) == (status < 0, bool(opened.sspi.misuses))
