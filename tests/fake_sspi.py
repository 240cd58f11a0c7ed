"""A `SecurityFunctionTableW` that plays a script: Windows as a trace shows it, ten lines a test.

    sspi.script(
        Initialize(token=HELLO),                                    # the first call, no input
        Initialize(given=SERVER_HELLO, token=FINISHED, status=Status.SEC_E_OK),
        Decrypt(given=record(23, b"x" * 40), data=b"220 ready"),
    )

The script holds the calls of Initialize- and AcceptSecurityContext, ApplyControlToken,
EncryptMessage and DecryptMessage, in order, with what they must be given and what they answer.
Credentials, queries and frees need no script: they are answered from `acquire_answers` and the
attributes below.

`problems()` tells what was wrong, and a fixture fails on it: steps nobody called, buffers against
the rules that windows_behaviours.md collects (the rows are named), tokens, security contexts and
credentials that were not given back. The table is as strict as the strictest Windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fake_sspi_facts import Facts
from fake_sspi_script import (
    APPLICATION_DATA,
    RECORD_HEADER,
    Accept,
    Control,
    Decrypt,
    Encrypt,
    Initialize,
    Step,
    seal,
)
from fake_sspi_types import (
    REQUESTED,
    SCHANNEL_SESSION_NEVER_RESUMED,
    SERVER_REQUESTED,
    Attribute,
    Buffer,
    ClientBit,
    Flag,
    ServerFlag,
    Status,
    ffi,
)

AFTER_DECRYPT: dict[int, str] = {
    Status.SEC_E_OK: "open",
    Status.SEC_I_RENEGOTIATE: "post-handshake",
    Status.SEC_I_CONTEXT_EXPIRED: "expired",
}


@dataclass
class Context:
    """What the fake knows of a security context."""

    credentials: set[int]  # all it was advanced with
    target: str
    phase: str = "handshake"  # then open, post-handshake, expired, failed
    has_control: bool = False
    is_shut_down: bool = False


class FakeSSPI:
    """The table (`address`), its script, and the list of what was wrong."""

    def __init__(self) -> None:
        self.misuses: list[str] = []
        self.calls: list[str] = []
        self.targets: list[str | None] = []
        self.credentials_used: list[int] = []  # by ISC and ASC, one for each call
        self.acquire_answers: deque[int] = deque()
        self.credential_uses: list[int] = []  # 1 inbound (a server's), 2 outbound
        self.on_acquire: Callable[[Any], None] = lambda _: None
        self.query_status: dict[int, int] = {}
        self.sizes = (5, 36, 16384)  # header, trailer, most bytes of a message
        self.protocol = int(ClientBit.TLS_1_3)
        self.cipher_suite = "TLS_AES_256_GCM_SHA384"
        self.alpn: bytes | None = None
        self.issuers: list[bytes] = []
        self.peer_certificate: Callable[[], int] | None = None
        self.facts = Facts(self)
        self._script: deque[Step] = deque()
        self._tokens: dict[int, Any] = {}
        self._credentials: set[int] = set()
        self._contexts: dict[int, Context] = {}
        self._next_handle = 0x1000
        self._callbacks: list[Any] = []
        self.table = self._make_table()
        self.address = int(ffi.cast("uintptr_t", self.table))

    def script(self, *steps: Step) -> None:
        """Add calls to the script."""
        self._script.extend(steps)

    def problems(self) -> list[str]:
        """Return all that was wrong until now; nothing may be alive any more."""
        found = [*self.misuses]
        found += [f"never called: {step}" for step in self._script]
        found += [f"token at {address:#x} was not freed" for address in self._tokens]
        found += [f"security context {handle:#x} was not deleted" for handle in self._contexts]
        found += [f"credential {handle:#x} was not freed" for handle in self._credentials]
        return found

    def has_credentials(self) -> int:
        """Return how many credentials are alive."""
        return len(self._credentials)

    # ------------------------------------------------------------------------------- plumbing

    def _make_table(self) -> Any:
        table = ffi.new("SecurityFunctionTableW *")
        table.dwVersion = 1  # members from SetContextAttributesW on are not there (row 95)
        for name, function in (
            ("AcquireCredentialsHandleW", self._acquire),
            ("FreeCredentialsHandle", self._free_credential),
            ("InitializeSecurityContextW", self._initialize),
            ("AcceptSecurityContext", self._accept),
            ("DeleteSecurityContext", self._delete),
            ("ApplyControlToken", self._control),
            ("QueryContextAttributesW", self._query),
            ("FreeContextBuffer", self._free_buffer),
            ("EncryptMessage", self._encrypt),
            ("DecryptMessage", self._decrypt),
            ("SetContextAttributesW", self._set),
        ):
            callback = ffi.callback(
                ffi.typeof(getattr(table, name)),
                self._logged(name, function),
                error=int(Status.SEC_E_INTERNAL_ERROR),
                onerror=self._note_exception,
            )
            self._callbacks.append(callback)
            setattr(table, name, callback)
        return table

    def _logged(self, name: str, function: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return int(function(*arguments))

        return call

    def _note_exception(self, _kind: Any, value: Any, _trace: Any) -> None:
        self.misuses.append(f"the fake itself failed in {self.calls[-1:]}: {value!r}")

    def _misuse(self, text: str, status: int = Status.SEC_E_INVALID_TOKEN) -> int:
        self.misuses.append(text)
        return status

    def _expect(self, condition: object, text: str) -> bool:
        if not condition:
            self.misuses.append(text)
        return bool(condition)

    def _next_step(self, kind: type[Any]) -> Any:
        """Take the next step of the script, when it is of this kind."""
        if self._script and isinstance(self._script[0], kind):
            return self._script.popleft()
        expected = self._script[0] if self._script else "the end of the script"
        self._misuse(f"{kind.__name__} was called where the script has {expected}")
        return None

    def _context(self, handle: Any, call: str) -> Context | None:
        key = 0 if handle == ffi.NULL else int(handle.dwLower)
        context = self._contexts.get(key)
        self._expect(context, f"{call} with a security context that is not alive (row 71)")
        return context

    def allocate(self, data: bytes) -> Any:
        """Return memory with `data` that FreeContextBuffer must get back."""
        memory = ffi.new("uint8_t[]", data)
        self._tokens[int(ffi.cast("uintptr_t", memory))] = memory
        return memory

    def _give_token(self, buffer: Any, data: bytes) -> None:
        buffer.pvBuffer, buffer.cbBuffer = self.allocate(data), len(data)

    def _free_buffer(self, memory: Any) -> int:
        known = self._tokens.pop(int(ffi.cast("uintptr_t", memory)), None)
        if known is None:
            return self._misuse("FreeContextBuffer of what is not SSPI's, or was freed before")
        return Status.SEC_E_OK

    # ---------------------------------------------------------------------------- credentials

    def _acquire(
        self, _principal: Any, package: Any, use: int, _logon: Any, auth_data: Any, *rest: Any
    ) -> int:
        self._expect(
            "Microsoft Unified Security Protocol Provider" == ffi.string(package), "package"
        )
        inbound, outbound = 1, 2
        self._expect(use in {inbound, outbound}, f"credential use {use}")
        self.credential_uses.append(use)
        self.on_acquire(auth_data)
        credential = rest[2]
        credential.dwLower, credential.dwUpper = self._next_handle, 0
        answer = self.acquire_answers.popleft() if self.acquire_answers else Status.SEC_E_OK
        if answer == Status.SEC_E_OK:
            self._credentials.add(self._next_handle)
        self._next_handle += 1  # on failure the handle is garbage, and nobody may free it
        return answer

    def _free_credential(self, handle: Any) -> int:
        key = int(handle.dwLower)
        users = [context for context in self._contexts.values() if key in context.credentials]
        self._expect(not users, "credential freed before its security context (row 71)")
        if not self._expect(key in self._credentials, "FreeCredentialsHandle of no credential"):
            return Status.SEC_E_INVALID_HANDLE
        self._credentials.remove(key)
        return Status.SEC_E_OK

    # ------------------------------------------------------------------------------ handshake

    def _initialize(self, *arguments: Any) -> int:
        credential, handle, target, requested, zero, _, source, zero_too = arguments[:8]
        new_handle, output, granted, _expiry = arguments[8:]
        name = None if target == ffi.NULL else ffi.string(target)
        self.targets.append(name)
        self._expect((zero, zero_too) == (0, 0), "reserved parameters are 0")
        self._note_credential(credential, "ISC")
        self._check_output(output)
        step = self._next_step(Initialize)
        if step is None:
            return Status.SEC_E_INTERNAL_ERROR
        self._check_flags(step, requested)
        is_first, is_alert = handle == ffi.NULL, False
        if is_first:
            context = Context({int(credential.dwLower)}, name or "")
            self._expect(new_handle != ffi.NULL, "the first call needs phNewContext (row 16)")
            self._check_offer(step, source)
        else:
            found = self._context(handle, "ISC")
            if found is None:
                return Status.SEC_E_INVALID_HANDLE
            context, is_alert = found, found.has_control
            context.credentials.add(int(credential.dwLower))
            if refused := self._check_input(step, context, name, source):
                return refused
        self._answer_initialize(step, source if not is_first else ffi.NULL, output)
        granted[0] = step.flags
        if is_first and step.status >= 0:
            self._make_context(context, new_handle)
        if not is_alert:
            self._advance(context, step)
        return int(step.status)

    def _note_credential(self, credential: Any, call: str) -> None:
        key = int(credential.dwLower)
        self.credentials_used.append(key)
        self._expect(key in self._credentials, f"{call} with a freed credential")

    def _check_flags(self, step: Initialize, requested: int) -> None:
        wanted = int(REQUESTED) if step.is_supplied else int(REQUESTED & ~Flag.USE_SUPPLIED_CREDS)
        self._expect(wanted & ~requested == 0, f"flags are missing: {requested:#x} (row 16)")
        is_supplied = bool(requested & Flag.USE_SUPPLIED_CREDS)
        self._expect(
            step.is_supplied == is_supplied, f"USE_SUPPLIED_CREDS is {is_supplied} (row 28)"
        )

    def _make_context(self, context: Context, handle: Any) -> None:
        handle.dwLower, handle.dwUpper = self._next_handle, 0
        self._contexts[self._next_handle] = context
        self._next_handle += 1

    def _accept(self, *arguments: Any) -> int:
        credential, handle, source, requested, representation = arguments[:5]
        new_handle, output, granted, _expiry = arguments[5:]
        self._expect(representation == 0, "the data representation is 0")
        self._note_credential(credential, "ASC")
        self._check_output(output)
        self._expect(new_handle != ffi.NULL, "ASC needs phNewContext in every call")
        step = self._next_step(Accept)
        if step is None:
            return Status.SEC_E_INTERNAL_ERROR
        self._check_server_flags(step, requested)
        is_first = handle == ffi.NULL
        context = Context(set(), "") if is_first else self._context(handle, "ASC")
        if context is None:
            return Status.SEC_E_INVALID_HANDLE
        context.credentials.add(int(credential.dwLower))
        is_alert = context.has_control
        if refused := self._check_token(step, context, source, is_first=is_first):
            return refused
        self._answer_initialize(step, source, output)
        granted[0] = step.flags
        if step.status < 0:
            new_handle.dwLower = 0xBAD  # nobody may use what a failed call left
        elif is_first:
            self._make_context(context, new_handle)
        if not is_alert:
            self._advance(context, step)
        return int(step.status)

    def _check_server_flags(self, step: Accept, requested: int) -> None:
        wanted = int(SERVER_REQUESTED)
        self._expect(wanted & ~requested == 0, f"flags are missing: {requested:#x} (row 76)")
        is_mutual = bool(requested & ServerFlag.MUTUAL_AUTH)
        self._expect(step.is_mutual == is_mutual, f"MUTUAL_AUTH is {is_mutual} (row 78)")

    def _check_token(self, step: Accept, context: Context, source: Any, *, is_first: bool) -> int:
        """Rows 76, 77: [TOKEN, EMPTY], and ALPN in a third slot while there is no context."""
        if context.has_control:
            context.has_control = False
            self._expect(source == ffi.NULL, "after a control token there is no input (row 68)")
            return Status.SEC_E_OK
        if source == ffi.NULL:
            return self._misuse("ASC before bytes have arrived (row 76)")
        buffers = [source.pBuffers[i] for i in range(source.cBuffers)]
        kinds = [buffer.BufferType for buffer in buffers]
        offer = [Buffer.APPLICATION_PROTOCOLS] if is_first and step.alpn is not None else []
        if kinds != [Buffer.TOKEN, Buffer.EMPTY, *offer]:
            return self._misuse(f"input buffers {kinds} (rows 76, 77)")
        if (buffers[1].cbBuffer, buffers[1].pvBuffer) != (0, ffi.NULL):
            return self._misuse("an EMPTY buffer that is not empty (row 20)")
        if offer:
            found = bytes(ffi.buffer(buffers[2].pvBuffer, buffers[2].cbBuffer))
            self._expect(step.alpn == found, f"ALPN offer {found!r}, not {step.alpn!r}")
        given = bytes(ffi.buffer(buffers[0].pvBuffer, buffers[0].cbBuffer))
        self._expect(step.given == given, f"ASC got {given!r}, not {step.given!r}")
        self._expect(
            context.phase in {"handshake", "post-handshake"}, f"ASC on a context {context.phase}"
        )
        return Status.SEC_E_OK

    def _check_output(self, output: Any) -> None:
        buffers = [output.pBuffers[i] for i in range(output.cBuffers)]
        kinds = [buffer.BufferType for buffer in buffers]
        self._expect(
            kinds == [Buffer.TOKEN, Buffer.ALERT, Buffer.EMPTY], f"output buffers {kinds} (row 19)"
        )
        empty = all((b.cbBuffer, b.pvBuffer) == (0, ffi.NULL) for b in buffers)
        self._expect(empty, "output buffers are SSPI's to allocate (row 20)")

    def _check_offer(self, step: Initialize, source: Any) -> None:
        """Row 16, 17: no input, or the ALPN offer alone."""
        offer = None
        if source != ffi.NULL:
            self._expect(source.cBuffers == 1, "the first call has one input buffer at most")
            buffer = source.pBuffers[0]
            self._expect(buffer.BufferType == Buffer.APPLICATION_PROTOCOLS, "first input (row 16)")
            offer = bytes(ffi.buffer(buffer.pvBuffer, buffer.cbBuffer))
        self._expect(step.given is None, f"the script has input for the first call: {step}")
        self._expect(step.alpn == offer, f"ALPN offer {offer!r}, not {step.alpn!r}")

    def _check_input(
        self, step: Initialize, context: Context, name: str | None, source: Any
    ) -> int:
        self._expect(context.target == (name or ""), "another target name than before (row 18)")
        if context.has_control:
            context.has_control = False
            self._expect(source == ffi.NULL, "after a control token there is no input (row 68)")
            return Status.SEC_E_OK
        if source == ffi.NULL:
            self._expect(step.given is None, f"the script has input: {step}")
            if step.is_restart and context.phase == "post-handshake":
                return Status.SEC_E_OK  # row 60
            return self._misuse(
                "ISC without input in mid handshake (row 34)", Status.SEC_E_INCOMPLETE_MESSAGE
            )
        self._expect(
            context.phase in {"handshake", "post-handshake"}, f"ISC on a context {context.phase}"
        )
        kinds = [source.pBuffers[i].BufferType for i in range(source.cBuffers)]
        if kinds != [Buffer.TOKEN, Buffer.EMPTY]:
            return self._misuse(f"input buffers {kinds} (rows 19, 20)")
        if (source.pBuffers[1].cbBuffer, source.pBuffers[1].pvBuffer) != (0, ffi.NULL):
            return self._misuse("an EMPTY buffer that is not empty (row 20)")
        given = bytes(ffi.buffer(source.pBuffers[0].pvBuffer, source.pBuffers[0].cbBuffer))
        self._expect(given, "ISC without new bytes (row 34)")
        self._expect(step.given == given, f"ISC got {given!r}, not {step.given!r}")
        return Status.SEC_E_OK

    def _answer_initialize(self, step: Initialize | Accept, source: Any, output: Any) -> None:
        if source != ffi.NULL and (step.extra or step.missing is not None):
            is_extra = step.extra > 0
            second = source.pBuffers[1]
            second.BufferType = Buffer.EXTRA if is_extra else Buffer.MISSING
            second.cbBuffer = step.extra if is_extra else step.missing  # no pointer (row 22)
        if step.token:
            output.pBuffers[step.token_at].BufferType = Buffer.TOKEN
            self._give_token(output.pBuffers[step.token_at], step.token)
        if step.alert:
            self._give_token(output.pBuffers[1], step.alert)

    def _advance(self, context: Context, step: Initialize | Accept) -> None:
        if step.status == Status.SEC_E_OK:
            context.phase = "open"
        elif step.status < 0 and step.status != Status.SEC_E_INCOMPLETE_MESSAGE:
            context.phase = "failed"

    def _control(self, handle: Any, description: Any) -> int:
        context, step = self._context(handle, "ApplyControlToken"), self._next_step(Control)
        if context is None or step is None:
            return Status.SEC_E_INVALID_HANDLE
        token = description.pBuffers[0]
        self._expect(description.cBuffers == 1, "ApplyControlToken takes one buffer (row 70)")
        self._expect(token.BufferType == Buffer.TOKEN, "a control token is a TOKEN (row 70)")
        given = bytes(ffi.buffer(token.pvBuffer, token.cbBuffer))
        self._expect(step.token == given, f"control token {given!r}, not {step.token!r}")
        is_alert = given != SCHANNEL_SESSION_NEVER_RESUMED
        context.has_control = step.status == Status.SEC_E_OK and is_alert
        context.is_shut_down = context.has_control
        return int(step.status)

    def _delete(self, handle: Any) -> int:
        if self._context(handle, "DeleteSecurityContext") is None:
            return Status.SEC_E_INVALID_HANDLE
        del self._contexts[int(handle.dwLower)]
        return Status.SEC_E_OK

    # --------------------------------------------------------------------------------- queries

    def _query(self, handle: Any, attribute: int, value: Any) -> int:
        if self._context(handle, "QueryContextAttributes") is None:
            return Status.SEC_E_INVALID_HANDLE
        if status := self.query_status.get(attribute, Status.SEC_E_OK):
            return status
        answers: dict[int, Callable[[Any], int]] = {
            Attribute.STREAM_SIZES: self._tell_sizes,
            Attribute.CONNECTION_INFO: self._tell_connection,
            Attribute.CIPHER_INFO: self._tell_cipher,
            Attribute.APPLICATION_PROTOCOL: self._tell_alpn,
            Attribute.REMOTE_CERT_CONTEXT: self._tell_peer,
            Attribute.ISSUER_LIST_EX: self._tell_issuers,
            **self.facts.answers(),
        }
        if attribute not in answers:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        return answers[attribute](value)

    def _set(self, handle: Any, attribute: int, value: Any, size: int) -> int:
        if self._context(handle, "SetContextAttributes") is None:
            return Status.SEC_E_INVALID_HANDLE
        return self.facts.set(attribute, value, size)

    def _tell_sizes(self, value: Any) -> int:
        sizes = ffi.cast("StreamSizes *", value)
        sizes.cbHeader, sizes.cbTrailer, sizes.cbMaximumMessage = self.sizes
        return Status.SEC_E_OK

    def _tell_connection(self, value: Any) -> int:
        connection = ffi.cast("ConnectionInfo *", value)
        connection.dwProtocol, connection.dwCipherStrength = self.protocol, 256
        _, connection.aiExch, connection.dwExchStrength = self.facts.key_exchange
        return Status.SEC_E_OK

    def _tell_cipher(self, value: Any) -> int:
        cipher = ffi.cast("CipherInfo *", value)
        self._expect(cipher.dwVersion == 1, "CIPHER_INFO is asked for by version 1")
        cipher.szCipherSuite, cipher.dwCipherLen = self.cipher_suite, 256
        cipher.szExchange = self.facts.key_exchange[0]
        return Status.SEC_E_OK

    def _tell_alpn(self, value: Any) -> int:
        chosen = ffi.cast("ApplicationProtocol *", value)
        name = self.alpn or b""
        success, alpn_extension = 1, 2
        chosen.Status, chosen.Extension = (0, 0) if self.alpn is None else (success, alpn_extension)
        if self.facts.alpn_status is not None:
            chosen.Status = self.facts.alpn_status
        chosen.Size = len(name)
        ffi.memmove(chosen.Id, name, len(name))
        return Status.SEC_E_OK

    def _tell_peer(self, value: Any) -> int:
        if self.peer_certificate is None:
            return Status.SEC_E_NO_CREDENTIALS  # row 38
        ffi.cast("void **", value)[0] = ffi.cast("void *", self.peer_certificate())
        return Status.SEC_E_OK

    def _tell_issuers(self, value: Any) -> int:
        issuers = ffi.cast("IssuerNames *", value)
        names = [ffi.new("uint8_t[]", list(name)) for name in self.issuers]
        blobs = ffi.new("IssuerName[]", max(1, len(names)))
        for blob, name in zip(blobs, names, strict=False):
            blob.cbData, blob.pbData = len(name), name
        self._tokens[int(ffi.cast("uintptr_t", blobs))] = (blobs, names)
        issuers.aIssuers, issuers.cIssuers = blobs, len(names)
        return Status.SEC_E_OK

    # --------------------------------------------------------------------------------- records

    def _message(self, description: Any, kinds: Sequence[int], call: str) -> list[Any] | None:
        buffers = [description.pBuffers[i] for i in range(description.cBuffers)]
        found = [buffer.BufferType for buffer in buffers]
        if not self._expect(found == list(kinds), f"{call} with buffers {found} (rows 49, 53)"):
            return None
        empty = [b for b in buffers if b.BufferType == Buffer.EMPTY]
        self._expect(
            all((b.cbBuffer, b.pvBuffer) == (0, ffi.NULL) for b in empty),
            f"{call} with an EMPTY buffer that is not empty (row 20)",
        )
        return buffers

    def _decrypt(self, handle: Any, description: Any, _sequence: int, _quality: Any) -> int:
        context, step = self._context(handle, "DecryptMessage"), self._next_step(Decrypt)
        kinds = (Buffer.DATA, Buffer.EMPTY, Buffer.EMPTY, Buffer.EMPTY)
        buffers = self._message(description, kinds, "DecryptMessage")
        if context is None or step is None or buffers is None:
            return Status.SEC_E_INVALID_TOKEN
        start, size = ffi.cast("uint8_t *", buffers[0].pvBuffer), buffers[0].cbBuffer
        given = bytes(ffi.buffer(start, size))
        self._check_record(step, given)
        is_between = self._is_renegotiating(context) and given[0] == APPLICATION_DATA
        self._expect(
            context.phase == "open" or is_between, f"DecryptMessage on a context {context.phase}"
        )
        if step.status == Status.SEC_E_INCOMPLETE_MESSAGE:  # row 54: the pointer is lost
            for buffer in buffers[:2]:
                buffer.BufferType, buffer.pvBuffer, buffer.cbBuffer = Buffer.MISSING, ffi.NULL, 7
            return int(step.status)
        ffi.buffer(start, size)[:] = b"?" * size if step.status < 0 else given  # row 67: in place
        ffi.memmove(start + step.data_at, step.data, len(step.data))
        if step.status >= 0:
            self._answer_decrypt(step, buffers, start, size)
        if not (is_between and step.status == Status.SEC_E_OK):
            context.phase = AFTER_DECRYPT.get(step.status, "failed")
        return int(step.status)

    def _is_renegotiating(self, context: Context) -> bool:
        return context.phase == "post-handshake" and self.protocol != ClientBit.TLS_1_3

    def _check_record(self, step: Decrypt, given: bytes) -> None:
        self._expect(step.given == given, f"DecryptMessage got {given!r}, not {step.given!r}")
        if step.is_record:
            size = RECORD_HEADER + int.from_bytes(given[3:5], "big")
            self._expect(len(given) >= RECORD_HEADER, "DecryptMessage with a torn header (row 55)")
            self._expect(len(given) == size, "DecryptMessage takes one whole record (row 53)")

    def _answer_decrypt(self, step: Decrypt, buffers: list[Any], start: Any, size: int) -> None:
        end = step.data_at + len(step.data)
        offset, extra = step.extra or (size, 0)
        after = max(0, (offset if offset >= end else size) - end)
        parts = {
            "H": (Buffer.HEADER, start, RECORD_HEADER),
            "D": (Buffer.DATA, start + step.data_at, len(step.data)),
            "T": (Buffer.TRAILER, start + end, after),
            "X": (Buffer.EXTRA, start + offset if step.extra_has_pointer else ffi.NULL, extra),
        }
        if not extra:
            parts["X"] = (Buffer.EMPTY, ffi.NULL, 0)
        for buffer, letter in zip(buffers, step.order, strict=True):
            buffer.BufferType, buffer.pvBuffer, buffer.cbBuffer = parts[letter]

    def _encrypt(self, handle: Any, quality: int, description: Any, sequence: int) -> int:
        context, step = self._context(handle, "EncryptMessage"), self._next_step(Encrypt)
        kinds = (Buffer.HEADER, Buffer.DATA, Buffer.TRAILER, Buffer.EMPTY)
        buffers = self._message(description, kinds, "EncryptMessage")
        if context is None or step is None or buffers is None:
            return Status.SEC_E_INVALID_TOKEN
        header, data, trailer = buffers[:3]
        self._expect((quality, sequence) == (0, 0), "quality and sequence number are 0")
        self._expect(context.phase in {"open", "expired"}, f"Encrypt on a context {context.phase}")
        self._expect(not context.is_shut_down, "EncryptMessage after the shutdown (row 68)")
        self._expect(0 < data.cbBuffer <= self.sizes[2], f"{data.cbBuffer} bytes (rows 50, 51)")
        room = (header.cbBuffer, trailer.cbBuffer)
        self._expect(room == self.sizes[:2], f"room of {room}, not {self.sizes[:2]} (row 49)")
        plain = bytes(ffi.buffer(data.pvBuffer, data.cbBuffer))
        self._expect(
            step.data == plain, f"EncryptMessage got {plain[:40]!r}, not {step.data[:40]!r}"
        )
        if step.status < 0:
            context.phase = "failed"
            return int(step.status)
        sealed = seal(plain, header=step.header, trailer=step.trailer)
        end = step.header + len(plain)
        for buffer, part in (
            (header, sealed[: step.header]),
            (data, sealed[step.header : end]),
            (trailer, sealed[end:]),
        ):
            ffi.memmove(buffer.pvBuffer, part, len(part))
            buffer.cbBuffer = len(part)
        return int(step.status)
