"""A model of Windows' Schannel: the SSPI table over real TLS, answering as Windows does.

    model = SchannelModel(windows_11())
    _lib.use_function_table(model.address)

The TLS 1.2 and 1.3 are OpenSSL's; statuses and buffers are those that windows_behaviours.md has of
Windows, not Wine's. `Windows(...)` says which Windows it is. Certificates that are given in
`paCred` have to be known to the model with their keys: `model.know(chain_pem, key_pem)`.

    AcquireCredentialsHandle ... here        ISC, ASC, ApplyControlToken ... _handshake
    Decrypt-, EncryptMessage ... _records    QueryContextAttributes ... _queries
    OpenSSL ... _tls, _openssl, _alert       who holds what ... _context

`problems()` tells what was not given back and every misuse: wrong buffers, input that was not
presented again as it had to be, calls on what is gone or has failed, EncryptMessage in the middle
of a post-handshake message ... A fixture fails the test on them. The model is as strict as the
strictest Windows.

What it cannot show: AUTO validation, DTLS, certificates that Windows chooses by itself, the cost of
anything; application data never comes together with SEC_I_RENEGOTIATE when whole single records are
given (row 59).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fake_sspi_types import Buffer, ClientBit, CredentialFlag, Flag, Status
from schannel_model_context import (
    Credential,
    KnownIdentity,
    Ledger,
    SecurityContext,
    address_of,
    buffers_of,
    bytes_of,
    fill,
)
from schannel_model_crypt32 import CertificateContexts
from schannel_model_handshake import Answer, Handshake
from schannel_model_options import Windows, windows_11
from schannel_model_queries import Queries
from schannel_model_records import Records
from schannel_model_types import (
    DTLS_BITS,
    INBOUND,
    OUTBOUND,
    PACKAGE,
    SCH_CREDENTIALS_VERSION,
    SCHANNEL_CRED_VERSION,
    SIGNATURES,
    AcceptFlag,
    MoreBuffer,
    MoreStatus,
    ServerBit,
    ffi,
)

_WIRE_VERSIONS = (
    (0x0301, ClientBit.TLS_1_0, ServerBit.TLS_1_0),
    (0x0302, ClientBit.TLS_1_1, ServerBit.TLS_1_1),
    (0x0303, ClientBit.TLS_1_2, ServerBit.TLS_1_2),
    (0x0304, ClientBit.TLS_1_3, ServerBit.TLS_1_3),
)
_MAX_TOKEN = 24576
_SESSIONS_OFF = 0xFFFFFFFF  # dwSessionLifespan (row 13)
_FROM_VERSION = {"SetContextAttributesW": 2}  # row 95


def entry(function: Callable[..., int]) -> Callable[..., int]:
    """Return what C calls; whoever looks at the stack knows by its code that C is below."""

    def enter(*arguments: Any) -> int:
        return int(function(*arguments))

    return enter


ENTRY_CODE = entry(int).__code__


class SchannelModel:
    """The table (`address`), and what was done with it.

    find_identity: asked for certificates that `know` was not told; DER to KnownIdentity, or None.
    """

    def __init__(self, windows: Windows | None = None) -> None:
        self.windows = windows or windows_11()
        self.ledger = Ledger()
        self.certificates = CertificateContexts()
        self.find_identity: Callable[[bytes], KnownIdentity | None] = lambda _: None
        self._known: dict[bytes, KnownIdentity] = {}
        self._handshake = Handshake(self.windows, self.ledger)
        self._records = Records(self.windows, self.ledger)
        self._queries = Queries(self.ledger, self.certificates)
        self._callbacks: list[Any] = []
        self.table = self._make_table()
        self.address = address_of(self.table)

    def know(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Tell the key of a certificate, and the chain that Windows would build for it."""
        identity = KnownIdentity(chain_pem, key_pem)
        self._known[identity.chain_der()[0]] = identity

    def problems(self) -> list[str]:
        """Return all misuses until now, and what is alive though nothing should be."""
        found = [*self.ledger.misuses]
        found += [f"{kind} {number:#x} was not given back" for kind, number in self.ledger.alive()]
        if held := self.certificates.release():
            found.append(f"{held} certificate contexts were not freed")
        return found

    # ------------------------------------------------------------------------------- plumbing

    def _make_table(self) -> Any:
        table = ffi.new("SecurityFunctionTableW *")
        table.dwVersion = self.windows.table_version
        types = dict(ffi.typeof("SecurityFunctionTableW").fields)
        for name, function in (
            ("AcquireCredentialsHandleW", self._acquire),
            ("FreeCredentialsHandle", self._free_credential),
            ("InitializeSecurityContextW", self._initialize),
            ("AcceptSecurityContext", self._accept),
            ("DeleteSecurityContext", self._delete),
            ("ApplyControlToken", self._control),
            ("QueryContextAttributesW", self._query),
            ("SetContextAttributesW", self._set),
            ("FreeContextBuffer", self.ledger.free),
            ("EncryptMessage", self._encrypt),
            ("DecryptMessage", self._decrypt),
            ("QuerySecurityPackageInfoW", self._package_info),
            ("EnumerateSecurityPackagesW", self._enumerate_packages),
        ):
            if self.windows.table_version < _FROM_VERSION.get(name, 1):
                continue
            kind = types[name].type
            callback = ffi.callback(
                SIGNATURES.get(name) or kind,
                entry(function),
                error=int(Status.SEC_E_INTERNAL_ERROR),
                onerror=self._note_exception,
            )
            self._callbacks.append(callback)
            setattr(table, name, ffi.cast(kind, callback))
        return table

    def _note_exception(self, _kind: Any, value: Any, trace: Any) -> None:
        where = trace
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = "" if where is None else f" ({where.tb_frame.f_code.co_name}, {where.tb_lineno})"
        self.ledger.misuse(f"the model itself failed: {value!r}{line}")

    def _context(self, handle: Any, call: str) -> SecurityContext | None:
        key = 0 if handle == ffi.NULL else int(handle.dwLower)
        context = self.ledger.contexts.get(key)
        self.ledger.expect(context, f"{call} with a security context that is not alive (row 71)")
        return context

    def _credential(self, handle: Any, call: str) -> Credential | None:
        key = 0 if handle == ffi.NULL else int(handle.dwLower)
        credential = self.ledger.credentials.get(key)
        self.ledger.expect(credential, f"{call} with a credential that is not alive (row 71)")
        return credential

    # ---------------------------------------------------------------------------- credentials

    def _acquire(
        self, _principal: Any, package: Any, use: int, _logon: Any, auth_data: Any, *rest: Any
    ) -> int:
        if package == ffi.NULL or ffi.string(package) not in {PACKAGE, "Schannel"}:
            return MoreStatus.SEC_E_SECPKG_NOT_FOUND
        is_server = use == INBOUND
        if use not in {INBOUND, OUTBOUND}:
            return Status.SEC_E_UNKNOWN_CREDENTIALS
        try:
            credential = self._read_credential(auth_data, is_server=is_server)
        except _Refused as refusal:
            return refusal.status
        self.ledger.credentials[credential.key] = credential
        rest[2].dwLower, rest[2].dwUpper = credential.key, 0
        return Status.SEC_E_OK

    def _read_credential(self, auth_data: Any, *, is_server: bool) -> Credential:
        version = ffi.cast("uint32_t *", auth_data)[0] if auth_data != ffi.NULL else 0
        if version == SCH_CREDENTIALS_VERSION and self.windows.takes_sch_credentials:
            data = ffi.cast("SCH_CREDENTIALS *", auth_data)
            bits = self._bits_of_parameters(data)
        elif version == SCHANNEL_CRED_VERSION:
            data = ffi.cast("SCHANNEL_CRED *", auth_data)
            bits = self._bits_of_old_structure(data.grbitEnabledProtocols)
        else:
            raise _Refused(Status.SEC_E_UNKNOWN_CREDENTIALS)  # row 1
        wire = tuple(
            number
            for number, client, server in _WIRE_VERSIONS
            if bits & (server if is_server else client) and self.windows.versions & client
        )
        if not wire:
            raise _Refused(Status.SEC_E_ALGORITHM_MISMATCH)  # row 3
        identity = self._identity_of(data)
        if is_server and identity is None:
            raise _Refused(Status.SEC_E_NO_CREDENTIALS)  # row 81
        resumes = self.windows.resumes and data.dwSessionLifespan != _SESSIONS_OFF
        flags = CredentialFlag(data.dwFlags)
        key = self.ledger.new_handle()
        return Credential(key, is_server, wire, flags, identity, resumes)

    @staticmethod
    def _bits_of_parameters(data: Any) -> int:
        """Row 3: all that is not disabled."""
        if data.cTlsParameters == 0:
            return 0xFFFFFFFF
        if data.cTlsParameters > 1 or data.pTlsParameters == ffi.NULL:
            raise _Refused(Status.SEC_E_INVALID_PARAMETER)
        return int(~data.pTlsParameters.grbitDisabledProtocols & 0xFFFFFFFF)

    @staticmethod
    def _bits_of_old_structure(enabled: int) -> int:
        """Row 2: no TLS 1.3; 0 is the machine's default."""
        tls13 = ClientBit.TLS_1_3 | ServerBit.TLS_1_3
        all_bits = 0x3FFF
        if enabled & DTLS_BITS and enabled & all_bits:
            raise _Refused(Status.SEC_E_ALGORITHM_MISMATCH)
        return (enabled or all_bits) & ~int(tls13)

    def _identity_of(self, data: Any) -> KnownIdentity | None:
        """Rows 7, 8."""
        if data.cCreds == 0:
            return None
        certificate = ffi.cast("MODEL_CERT_CONTEXT **", data.paCred)[0]
        der = bytes(ffi.buffer(certificate.pbCertEncoded, certificate.cbCertEncoded))
        identity = self._known.get(der) or self.find_identity(der)
        if identity is None:
            raise _Refused(Status.SEC_E_NO_CREDENTIALS)
        return identity

    def _free_credential(self, handle: Any) -> int:
        credential = self._credential(handle, "FreeCredentialsHandle")
        if credential is None:
            return Status.SEC_E_INVALID_HANDLE
        users = [c for c in list(self.ledger.contexts.values()) if c.credential is credential]
        self.ledger.expect(not users, "credential freed before its security context (row 71)")
        del self.ledger.credentials[credential.key]
        self.ledger.note_freed()
        return Status.SEC_E_OK

    # ------------------------------------------------------------------------------ handshake

    def _initialize(self, *arguments: Any) -> int:
        credential_handle, handle, target, requested, zero, _, source, zero_too = arguments[:8]
        new_handle, output, granted, _expiry = arguments[8:]
        self.ledger.expect((zero, zero_too) == (0, 0), "reserved parameters are 0")
        name = "" if target == ffi.NULL else ffi.string(target)
        if handle == ffi.NULL:
            credential = self._credential(credential_handle, "ISC")
            if credential is None:
                return Status.SEC_E_INVALID_HANDLE
            return self._start(credential, name, requested, source, new_handle, output, granted)
        context = self._context(handle, "ISC")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        self.ledger.expect(context.target == name, "another target name than before (row 18)")
        context.requested = requested
        self._change_credential(context, credential_handle)
        return self._continue(context, source, output, granted)

    def _start(self, credential: Credential, name: str, requested: int, *rest: Any) -> int:
        """Rows 16, 17: the first call has the ALPN offer for its input, or nothing."""
        source, new_handle, output, granted = rest
        alpn = b""
        for buffer in buffers_of(source):
            if buffer.BufferType == Buffer.APPLICATION_PROTOCOLS and self.windows.knows_alpn:
                alpn = bytes_of(buffer)[10:]
            elif buffer.BufferType != Buffer.EMPTY:
                return Status.SEC_E_INVALID_TOKEN
        if new_handle == ffi.NULL:
            return self.ledger.misuse("the first call needs phNewContext (row 16)")
        context = self._new_context(credential, name, alpn, requested)
        context.endpoint.advance()
        answer = Answer(Status.SEC_I_CONTINUE_NEEDED, token=context.endpoint.take_output())
        new_handle.dwLower, new_handle.dwUpper = context.key, 0
        return self._finish(context, answer, ffi.NULL, output, granted)

    def _new_context(
        self, credential: Credential, name: str, alpn: bytes, requested: int
    ) -> SecurityContext:
        endpoint = credential.new_endpoint(name, alpn)
        context = SecurityContext(
            self.ledger.new_handle(), credential, name, alpn, endpoint, requested
        )
        self.ledger.contexts[context.key] = context
        return context

    def _change_credential(self, context: SecurityContext, handle: Any) -> None:
        """Row 29: another credential for the same security context."""
        if handle == ffi.NULL:
            return
        credential = self._credential(handle, "ISC")
        if credential is not None:
            context.credential = credential

    def _continue(self, context: SecurityContext, source: Any, output: Any, granted: Any) -> int:
        """Rows 19, 20: [TOKEN, EMPTY]; or no input, after ApplyControlToken."""
        buffers = [b for b in buffers_of(source) if b.BufferType != Buffer.APPLICATION_PROTOCOLS]
        kinds = [buffer.BufferType & ~MoreBuffer.ATTRIBUTE_MASK for buffer in buffers]
        if kinds not in ([], [Buffer.TOKEN, Buffer.EMPTY], [Buffer.EMPTY]):
            return self.ledger.misuse(f"input buffers {kinds} (rows 19, 20)")
        empty = [b for b in buffers if b.BufferType == Buffer.EMPTY]
        if not self.ledger.expect(
            all((b.cbBuffer, b.pvBuffer) == (0, ffi.NULL) for b in empty),
            "an EMPTY buffer that is not empty (row 20)",
        ):
            return Status.SEC_E_INVALID_TOKEN
        given = bytes_of(buffers[0]) if kinds[:1] == [Buffer.TOKEN] else b""
        with context.lock:
            answer = self._handshake.step(context, given)
        return self._finish(context, answer, empty[-1] if empty else ffi.NULL, output, granted)

    def _finish(
        self, context: SecurityContext, answer: Answer, second: Any, output: Any, granted: Any
    ) -> int:
        """Fill in what the caller gets besides the status."""
        if second != ffi.NULL and answer.extra:
            fill(second, Buffer.EXTRA, ffi.NULL, answer.extra)  # row 22: without a pointer
        elif second != ffi.NULL and answer.missing:
            fill(second, Buffer.MISSING, ffi.NULL, answer.missing)
        if answer.status == Status.SEC_E_INCOMPLETE_MESSAGE:
            return int(answer.status)  # row 21: output buffers are untouched
        if granted != ffi.NULL:
            granted[0] = context.requested  # row 35: ISC_RET_* have the values of ISC_REQ_*
        if not answer.token:
            return int(answer.status)
        return self._give_token(context, answer, output)

    def _give_token(self, context: SecurityContext, answer: Answer, output: Any) -> int:
        is_failure = answer.status < 0
        wanted = [Buffer.TOKEN, Buffer.EMPTY]
        if is_failure and self.windows.has_alert_buffer:
            wanted = [Buffer.ALERT, *wanted]
        found = [b for kind in wanted for b in buffers_of(output) if b.BufferType == kind]
        if not found:
            if is_failure:
                return int(answer.status)
            return self.ledger.misuse("no output buffer for the token, which is lost (row 16)")
        buffer = found[0]
        if context.requested & Flag.ALLOCATE_MEMORY:  # ASC's has the same value
            fill(buffer, buffer.BufferType or Buffer.TOKEN, self.ledger.give(answer.token))
        elif buffer.cbBuffer < len(answer.token):
            return self.ledger.misuse("no room for the token", Status.SEC_E_INSUFFICIENT_MEMORY)
        else:
            ffi.memmove(buffer.pvBuffer, answer.token, len(answer.token))
        buffer.cbBuffer = len(answer.token)
        return int(answer.status)

    def _accept(self, *arguments: Any) -> int:
        """Rows 76 to 80."""
        credential_handle, handle, source, requested, _, new_handle, output, granted, _ = arguments
        if handle != ffi.NULL:
            context = self._context(handle, "ASC")
            if context is None:
                return Status.SEC_E_INVALID_HANDLE
            context.requested = requested
            return self._continue(context, source, output, granted)
        credential = self._credential(credential_handle, "ASC")
        if credential is None:
            return Status.SEC_E_INVALID_HANDLE
        if not credential.is_server:
            return self.ledger.misuse("ASC with a client credential")
        alpn = b""
        for buffer in buffers_of(source):
            kind = buffer.BufferType & ~MoreBuffer.ATTRIBUTE_MASK
            if kind == Buffer.APPLICATION_PROTOCOLS and self.windows.knows_alpn:
                alpn = bytes_of(buffer)[10:]
        context = self._new_context(credential, "", alpn, requested)
        if requested & AcceptFlag.MUTUAL_AUTH:
            context.endpoint.extras.accept_any_certificate()
        status = self._continue(context, source, output, granted)
        if status < 0:  # row 76: INCOMPLETE_MESSAGE leaves the first call the first
            del self.ledger.contexts[context.key]
            context.endpoint.close()
        else:
            new_handle.dwLower, new_handle.dwUpper = context.key, 0
        return status

    def _control(self, handle: Any, description: Any) -> int:
        """Row 70."""
        context = self._context(handle, "ApplyControlToken")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        if description == ffi.NULL:
            return self.ledger.misuse("ApplyControlToken of NULL", Status.SEC_E_INTERNAL_ERROR)
        buffers = buffers_of(description)
        if [buffer.BufferType for buffer in buffers] != [Buffer.TOKEN]:
            return self.ledger.misuse("ApplyControlToken takes one TOKEN (row 70)")
        with context.lock:
            return self._handshake.apply(context, bytes_of(buffers[0]))

    def _delete(self, handle: Any) -> int:
        context = self._context(handle, "DeleteSecurityContext")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        del self.ledger.contexts[context.key]
        with context.lock:
            context.endpoint.close()
        self.ledger.note_freed()
        return Status.SEC_E_OK

    # ------------------------------------------------------------------- queries and records

    def _query(self, handle: Any, attribute: int, value: Any) -> int:
        context = self._context(handle, "QueryContextAttributes")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        with context.lock:
            return self._queries.query(context, attribute, value)

    def _set(self, handle: Any, attribute: int, value: Any, size: int) -> int:
        context = self._context(handle, "SetContextAttributes")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        with context.lock:
            return self._queries.set(context, attribute, value, size)

    def _encrypt(self, handle: Any, quality: int, description: Any, sequence: int) -> int:
        context = self._context(handle, "EncryptMessage")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        self.ledger.expect((quality, sequence) == (0, 0), "quality and sequence number are 0")
        with context.lock:
            return self._records.encrypt(context, description)

    def _decrypt(self, handle: Any, description: Any, sequence: int, _quality: Any) -> int:
        context = self._context(handle, "DecryptMessage")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        self.ledger.expect(sequence == 0, "the sequence number is 0")
        with context.lock:
            return self._records.decrypt(context, description)

    # ------------------------------------------------------------------------------- packages

    def _package_info(self, name: Any, out: Any) -> int:
        if ffi.string(name) not in {PACKAGE, "Schannel"}:
            return MoreStatus.SEC_E_SECPKG_NOT_FOUND
        out[0] = self._new_packages([ffi.string(name)])
        return Status.SEC_E_OK

    def _enumerate_packages(self, count: Any, out: Any) -> int:
        names = [PACKAGE, "Schannel"]
        count[0] = len(names)
        out[0] = self._new_packages(names)
        return Status.SEC_E_OK

    def _new_packages(self, names: Sequence[str]) -> Any:
        packages = ffi.new("ModelPackageInfo[]", len(names))
        texts = []
        for index, name in enumerate(names):
            package = packages[index]
            package.fCapabilities, package.wVersion, package.wRPCID = 0x107B3, 1, 14
            package.cbMaxToken = _MAX_TOKEN
            title = ffi.new("wchar_t[]", name)
            comment = ffi.new("wchar_t[]", "Schannel Security Package")
            package.Name, package.Comment = title, comment
            texts += [title, comment]
        return self.ledger.keep(packages, *texts)


class _Refused(Exception):
    """AcquireCredentialsHandle answers with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = int(status)
