"""One end of a connection, on the function table of a model: SSPI as a caller has it, no engine.

    client = End(model, server_name="server.test")
    answer = client.step()                  # InitializeSecurityContext without input
    answer = client.step(records)           # with; AcceptSecurityContext when it is a server
    answer = client.decrypt(record)

`pump(client, server)` carries records between two ends until both are through the handshake.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fake_sspi_types import REQUESTED, Buffer, ClientBit, CredentialFlag, Status
from schannel_model import SchannelModel
from schannel_model_context import bytes_of, fill
from schannel_model_tls import records_of
from schannel_model_types import INBOUND, OUTBOUND, PACKAGE, SIGNATURES, AcceptFlag, ServerBit, ffi

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
_CREDENTIAL_FLAGS = CredentialFlag.MANUAL_CRED_VALIDATION | CredentialFlag.NO_DEFAULT_CREDS


@dataclass
class Said:
    """What a call answered. extra: the bytes of EXTRA, where they had a pointer."""

    status: int
    token: bytes = b""
    data: bytes = b""
    extra: bytes = b""
    extra_size: int = 0
    missing: int = 0
    flags: int = 0


def alpn_offer(*names: bytes) -> bytes:
    """Return SEC_APPLICATION_PROTOCOLS (row 17)."""
    wire = b"".join(bytes([len(name)]) + name for name in names)
    inner = struct.pack("<IH", 2, len(wire)) + wire
    return struct.pack("<I", len(inner)) + inner


def description_of(buffers: Any) -> Any:
    return ffi.new("SecBufferDesc *", {"cBuffers": len(buffers), "pBuffers": buffers})


def member(table: Any, name: str) -> Any:
    """Return a member of the table that fake_sspi_types may leave untyped."""
    signature = SIGNATURES[name].replace("__stdcall(", "(__stdcall *)(")
    return ffi.cast(signature, getattr(table, name))


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
        self._name = ffi.new("wchar_t[]", name)
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
        said.token = b"".join(self._take(buffer) for buffer in output)
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
                self._name,
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

    def control(self, token: bytes) -> int:
        memory = ffi.new("uint8_t[]", token)
        buffers = ffi.new("SecBuffer[]", 1)
        fill(buffers[0], Buffer.TOKEN, memory, len(token))
        return int(self.table.ApplyControlToken(self.handle, description_of(buffers)))

    # --- records -----------------------------------------------------------------------------

    def decrypt(self, given: bytes) -> Said:
        memory = ffi.new("uint8_t[]", given)
        buffers = ffi.new("SecBuffer[]", 4)
        fill(buffers[0], Buffer.DATA, memory, len(given))
        status = int(self.table.DecryptMessage(self.handle, description_of(buffers), 0, ffi.NULL))
        found = {buffer.BufferType: buffer for buffer in buffers}
        said = Said(status)
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
        return int(self.table.DeleteSecurityContext(self.handle))


@dataclass
class Link:
    """Two ends and the records between them."""

    client: End
    server: End

    def shake(self) -> tuple[Said, Said]:
        """Carry records until both are through; return what each said last.

        What is left of the server's records, as tickets, is in `left`.
        """
        to_server = self.client.step().token
        client_said = server_said = Said(Status.SEC_I_CONTINUE_NEEDED)
        self.left = b""
        while not (client_said.status == server_said.status == Status.SEC_E_OK):
            server_said, rest, to_client = deliver(self.server, to_server)
            assert not rest
            client_said, self.left, to_server = deliver(self.client, self.left + to_client)
            assert min(client_said.status, server_said.status) >= 0, (client_said, server_said)
            if client_said.status == Status.SEC_E_OK and to_server:
                server_said, rest, to_client = deliver(self.server, to_server)
                self.left += to_client
                to_server = b""
        return client_said, server_said


def deliver(end: End, records: bytes) -> tuple[Said, bytes, bytes]:
    """Give records to ISC or ASC until it is done or wants more.

    Returns: what it said last, what it left, what it wants sent.
    """
    said, output = Said(Status.SEC_I_CONTINUE_NEEDED), b""
    given = b""
    queue = records_of(records)
    while said.status == Status.SEC_I_CONTINUE_NEEDED and (queue or given):
        given = given or queue.pop(0)
        said = end.step(given)
        while said.status == Status.SEC_E_INCOMPLETE_MESSAGE and queue:
            given += queue.pop(0)
            said = end.step(given)
        output += said.token
        given = given[len(given) - said.extra_size :]
    return said, given + b"".join(queue), output
