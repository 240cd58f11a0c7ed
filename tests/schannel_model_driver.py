"""One end of a connection, on the function table of a model: SSPI as a caller has it, no engine.

    client = End(model, server_name="server.test")
    answer = client.step()                  # InitializeSecurityContext without input
    answer = client.step(records)           # with; AcceptSecurityContext when it is a server
    answer = client.decrypt(record)

`Link(client, server).shake()` and `shake(end, peer)` carry records until both are through the
handshake.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fake_sspi_types import REQUESTED, Buffer, ClientBit, CredentialFlag, Status
from schannel_model import SchannelModel
from schannel_model_context import bytes_of, fill
from schannel_model_tls import Endpoint, Progress, records_of
from schannel_model_types import (
    INBOUND,
    OUTBOUND,
    PACKAGE,
    AcceptFlag,
    ServerBit,
    ffi,
    member_type,
)

ACCEPT = (
    AcceptFlag.REPLAY_DETECT
    | AcceptFlag.SEQUENCE_DETECT
    | AcceptFlag.CONFIDENTIALITY
    | AcceptFlag.ALLOCATE_MEMORY
    | AcceptFlag.EXTENDED_ERROR
    | AcceptFlag.STREAM
)
TLS_1_2_ONLY = ClientBit.TLS_1_2 | ServerBit.TLS_1_2
TLS_1_3_ONLY = ClientBit.TLS_1_3 | ServerBit.TLS_1_3
VERSIONS = {ssl.TLSVersion.TLSv1_2: TLS_1_2_ONLY, ssl.TLSVersion.TLSv1_3: TLS_1_3_ONLY}
_CREDENTIAL_FLAGS = CredentialFlag.MANUAL_CRED_VALIDATION | CredentialFlag.NO_DEFAULT_CREDS

MakeModel = Callable[..., SchannelModel]
MakeEnd = Callable[..., "End"]
MakePeer = Callable[..., Endpoint]
MakeLink = Callable[..., "Link"]


@dataclass
class Said:
    """What a call answered.

    extra: the bytes of EXTRA, where they had a pointer. memory: what is where the input was.
    """

    status: int
    token: bytes = b""
    token_kind: int = 0
    data: bytes = b""
    extra: bytes = b""
    extra_size: int = 0
    missing: int = 0
    flags: int = 0
    memory: bytes = b""


def told(model: SchannelModel) -> list[str]:
    """Return the misuses until now, and forget them."""
    misuses = [*model.ledger.misuses]
    model.ledger.misuses.clear()
    return misuses


def alpn_offer(*names: bytes) -> bytes:
    """Return SEC_APPLICATION_PROTOCOLS (row 17)."""
    wire = b"".join(bytes([len(name)]) + name for name in names)
    inner = struct.pack("<IH", 2, len(wire)) + wire
    return struct.pack("<I", len(inner)) + inner


def description_of(buffers: Any) -> Any:
    return ffi.new("SecBufferDesc *", {"cBuffers": len(buffers), "pBuffers": buffers})


def member(table: Any, name: str) -> Any:
    """Return a member of the table that fake_sspi_types may leave untyped."""
    return ffi.cast(member_type(name), getattr(table, name))


class Handle:
    """A credential, as AcquireCredentialsHandle makes it."""

    def __init__(
        self,
        model: SchannelModel,
        *,
        is_server: bool = False,
        versions: int = TLS_1_2_ONLY | TLS_1_3_ONLY,
        certificate: bytes | None = None,
        version: int = 5,
        lifespan: int = 0,
    ) -> None:
        self.model = model
        self.handle = ffi.new("SecHandle *")
        self._keep: list[Any] = []
        data = self._structure(version, versions, lifespan)
        if certificate is not None:
            self._add_certificate(data, certificate)
        use = INBOUND if is_server else OUTBOUND
        self.status: int = model.table.AcquireCredentialsHandleW(
            ffi.NULL, PACKAGE, use, ffi.NULL, data, ffi.NULL, ffi.NULL, self.handle, ffi.NULL
        )

    def _structure(self, version: int, versions: int, lifespan: int) -> Any:
        common = {"dwVersion": version, "dwFlags": int(_CREDENTIAL_FLAGS)}
        if version == 4:
            return ffi.new("SCHANNEL_CRED *", {**common, "grbitEnabledProtocols": versions})
        parameters = ffi.new("TLS_PARAMETERS *", {"grbitDisabledProtocols": ~versions & 0xFFFFFFFF})
        self._keep.append(parameters)
        return ffi.new(
            "SCH_CREDENTIALS *",
            {
                **common,
                "cTlsParameters": 1,
                "pTlsParameters": parameters,
                "dwSessionLifespan": lifespan,
            },
        )

    def _add_certificate(self, data: Any, der: bytes) -> None:
        encoded = ffi.new("uint8_t[]", der)
        certificate = ffi.new(
            "MODEL_CERT_CONTEXT *", {"pbCertEncoded": encoded, "cbCertEncoded": len(der)}
        )
        pointers = ffi.new("MODEL_CERT_CONTEXT *[]", [certificate])
        self._keep += [encoded, certificate, pointers]
        data.cCreds, data.paCred = 1, pointers

    def free(self) -> int:
        return int(self.model.table.FreeCredentialsHandle(self.handle))


class End:
    """A security context and its calls."""

    def __init__(
        self,
        credential: Handle,
        *,
        is_server: bool = False,
        name: str = "server.test",
        requested: int | None = None,
        alpn: bytes = b"",
    ) -> None:
        self.model, self.table = credential.model, credential.model.table
        self.credential, self.is_server = credential, is_server
        self.requested = requested if requested is not None else ACCEPT if is_server else REQUESTED
        self.handle = ffi.new("SecHandle *")
        self.has_handle = False
        self.name = name
        self._alpn = alpn

    # --- handshake ---------------------------------------------------------------------------

    def step(self, given: bytes | None = None) -> Said:
        """Call ISC or ASC with one token, or with no input at all."""
        memory = ffi.new("uint8_t[]", given or b"")
        kinds = [(Buffer.TOKEN, memory, len(given)), (Buffer.EMPTY, ffi.NULL, 0)] if given else []
        offer = ffi.new("uint8_t[]", self._alpn)
        if self._alpn and not self.has_handle:
            kinds.append((Buffer.APPLICATION_PROTOCOLS, offer, len(self._alpn)))
        return self.call(kinds)

    def call(self, kinds: Sequence[tuple[int, Any, int]]) -> Said:
        """Call ISC or ASC with these input buffers: type, memory, size."""
        source = ffi.new("SecBuffer[]", len(kinds))
        for buffer, (kind, memory, size) in zip(source, kinds, strict=True):
            fill(buffer, kind, memory, size)
        output = ffi.new("SecBuffer[]", 3)
        for buffer, wanted in zip(output, (Buffer.TOKEN, Buffer.ALERT, Buffer.EMPTY), strict=True):
            fill(buffer, wanted)
        granted = ffi.new("uint32_t *")
        status = self._initialize(
            description_of(source) if kinds else ffi.NULL, description_of(output), granted
        )
        if status >= 0:
            self.has_handle = True
        said = Said(status, flags=granted[0])
        for buffer in output:
            if taken := self._take(buffer):
                said.token, said.token_kind = taken, buffer.BufferType
        for buffer in source:
            if buffer.BufferType == Buffer.EXTRA:
                assert buffer.pvBuffer == ffi.NULL  # row 22
                said.extra_size = buffer.cbBuffer
            elif buffer.BufferType == Buffer.MISSING:
                said.missing = buffer.cbBuffer
        return said

    def _initialize(self, source: Any, output: Any, granted: Any) -> int:
        is_first = not self.has_handle
        handle = ffi.NULL if is_first else self.handle
        new = self.handle if is_first else ffi.NULL
        credential = self.credential.handle
        if self.is_server:
            accept = member(self.table, "AcceptSecurityContext")
            return int(
                accept(
                    credential, handle, source, self.requested, 0, new, output, granted, ffi.NULL
                )
            )
        return int(
            self.table.InitializeSecurityContextW(
                credential,
                handle,
                ffi.new("wchar_t[]", self.name),
                self.requested,
                0,
                0,
                source,
                0,
                new,
                output,
                granted,
                ffi.NULL,
            )
        )

    def _take(self, buffer: Any) -> bytes:
        if buffer.pvBuffer == ffi.NULL:
            return b""
        data = bytes_of(buffer)
        assert self.table.FreeContextBuffer(buffer.pvBuffer) == Status.SEC_E_OK
        return data

    def control(self, token: bytes, *, kind: int = Buffer.TOKEN) -> int:
        memory = ffi.new("uint8_t[]", token)
        buffers = ffi.new("SecBuffer[]", 1)
        fill(buffers[0], kind, memory, len(token))
        return int(self.table.ApplyControlToken(self.handle, description_of(buffers)))

    # --- records -----------------------------------------------------------------------------

    def decrypt(self, given: bytes, *, empties: int = 3, dirt: int = 0) -> Said:
        memory = ffi.new("uint8_t[]", given)
        buffers = ffi.new("SecBuffer[]", 1 + empties)
        fill(buffers[0], Buffer.DATA, memory, len(given))
        buffers[1].cbBuffer = dirt
        status = int(self.table.DecryptMessage(self.handle, description_of(buffers), 0, ffi.NULL))
        found = {buffer.BufferType: buffer for buffer in buffers}
        said = Said(status, memory=bytes(ffi.buffer(memory, len(given))))
        if Buffer.DATA in found and status >= 0:
            said.data = bytes_of(found[Buffer.DATA])
        if Buffer.EXTRA in found:
            said.extra = bytes_of(found[Buffer.EXTRA])
        if Buffer.MISSING in found:
            said.missing = found[Buffer.MISSING].cbBuffer
        return said

    def encrypt(self, data: bytes, *, header: int = 13, trailer: int = 64) -> Said:
        memory = ffi.new("uint8_t[]", header + len(data) + trailer)
        ffi.memmove(memory + header, data, len(data))
        buffers = ffi.new("SecBuffer[]", 4)
        fill(buffers[0], Buffer.HEADER, memory, header)
        fill(buffers[1], Buffer.DATA, memory + header, len(data))
        fill(buffers[2], Buffer.TRAILER, memory + header + len(data), trailer)
        status = int(self.table.EncryptMessage(self.handle, 0, description_of(buffers), 0))
        parts = [bytes_of(buffer) for buffer in buffers[0:3]]
        return Said(status, data=b"".join(parts) if status >= 0 else b"")

    def query(self, attribute: int, kind: str) -> tuple[int, Any]:
        """Return the status and the struct that was filled."""
        value = ffi.new(f"{kind} *")
        return int(self.table.QueryContextAttributesW(self.handle, attribute, value)), value

    def delete(self) -> int:
        self.has_handle = False
        return int(self.table.DeleteSecurityContext(self.handle))

    def delete_if_made(self) -> None:
        if self.has_handle:
            self.delete()


class Link:
    """A client and a server, and the records between them.

    left: records of the server behind the handshake, as tickets are.
    """

    def __init__(self, client: End, server: End) -> None:
        self.client, self.server = client, server
        self.left = b""

    def shake(self) -> None:
        """Carry records until both are through the handshake."""
        to_server = self.client.step().token
        statuses: list[int] = []
        while statuses != [Status.SEC_E_OK] * 2:
            at_server = deliver(self.server, to_server)
            at_client = Delivered(Said(Status.SEC_E_OK), at_server.output)
            if not statuses or statuses[1] != Status.SEC_E_OK:
                at_client = deliver(self.client, at_server.output)
            self.left += at_client.left
            to_server = at_client.output
            statuses = [at_server.said.status, at_client.said.status]
            assert min(statuses) >= 0, statuses


@dataclass
class Delivered:
    """What came of giving records to ISC or ASC: its last word, what it left, what to send."""

    said: Said
    left: bytes = b""
    output: bytes = b""


def deliver(end: End, records: bytes) -> Delivered:
    """Give records to ISC or ASC, one at a time, until it is done or wants more."""
    said, output, given = Said(Status.SEC_I_CONTINUE_NEEDED), b"", b""
    queue = records_of(records)
    while said.status == Status.SEC_I_CONTINUE_NEEDED and (queue or given):
        given = given or queue.pop(0)
        said = end.step(given)
        while said.status == Status.SEC_E_INCOMPLETE_MESSAGE and queue:
            given += queue.pop(0)
            said = end.step(given)
        output += said.token
        given = given[len(given) - said.extra_size :]
    return Delivered(said, given + b"".join(queue), output)


def shake(end: End, peer: Endpoint) -> Delivered:
    """Carry records between a client or server of the model and OpenSSL until both are done.

    Returns: what ISC or ASC said last, with what it left of the peer's records.
    """
    to_peer = b"" if end.is_server else end.step().token
    last, is_done = Delivered(Said(Status.SEC_I_CONTINUE_NEEDED)), False
    while not (is_done and last.said.status == Status.SEC_E_OK):
        for record in records_of(to_peer) or [b""]:
            is_done = is_done or peer.advance(record) is Progress.DONE
            assert peer.error is None, peer.error
        to_end = peer.finish() if is_done else peer.take_output()
        if last.said.status == Status.SEC_E_OK:
            last.left += to_end
            continue
        last = deliver(end, to_end)
        if last.said.status != Status.SEC_I_CONTINUE_NEEDED and last.said.status != Status.SEC_E_OK:
            return last
        to_peer = last.output
    return last
