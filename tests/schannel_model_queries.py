"""QueryContextAttributes and SetContextAttributes of the model: a table of attributes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fake_sspi_types import Attribute, ClientBit, Status
from schannel_model_context import Ledger, Phase, SecurityContext
from schannel_model_crypt32 import HAS_CRYPT32, CertificateContexts
from schannel_model_records import MOST_MESSAGE_BYTES, TRAILER_SIZE
from schannel_model_tls import extension_of, vector
from schannel_model_types import SESSION_RECONNECT, MoreAttribute, ServerBit, ffi

_BITS = {
    "TLSv1": (ClientBit.TLS_1_0, ServerBit.TLS_1_0),
    "TLSv1.1": (ClientBit.TLS_1_1, ServerBit.TLS_1_1),
    "TLSv1.2": (ClientBit.TLS_1_2, ServerBit.TLS_1_2),
    "TLSv1.3": (ClientBit.TLS_1_3, ServerBit.TLS_1_3),
}
_BINDINGS_HEADER = struct.Struct("<8I")
_ALPN_EXTENSION, _NEGOTIATED = 2, 1
_CALG_AES_256, _CALG_AES_128, _CALG_ECDHE = 0x6610, 0x660E, 0xAE06
_AUTHORITIES_EXTENSION = 47

_Answer = Callable[[SecurityContext, Any], int]


class Queries:
    """The attributes."""

    def __init__(self, ledger: Ledger, certificates: CertificateContexts) -> None:
        self._ledger = ledger
        self._certificates = certificates
        self._answers: dict[int, _Answer] = {
            Attribute.STREAM_SIZES: self._tell_sizes,
            Attribute.CONNECTION_INFO: self._tell_connection,
            Attribute.CIPHER_INFO: self._tell_cipher,
            Attribute.APPLICATION_PROTOCOL: self._tell_alpn,
            Attribute.REMOTE_CERT_CONTEXT: self._tell_peer,
            MoreAttribute.LOCAL_CERT_CONTEXT: self._tell_own_certificate,
            MoreAttribute.KEY_INFO: self._tell_key,
            MoreAttribute.SESSION_INFO: self._tell_session,
            MoreAttribute.ENDPOINT_BINDINGS: self._tell_end_point,
            MoreAttribute.UNIQUE_BINDINGS: self._tell_unique,
            MoreAttribute.ISSUER_LIST_EX: self._tell_issuers,
            MoreAttribute.KEYING_MATERIAL: self._tell_keying_material,
        }

    def query(self, context: SecurityContext, attribute: int, value: Any) -> int:
        answer = self._answers.get(attribute)
        if answer is None:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        before = {Attribute.REMOTE_CERT_CONTEXT, MoreAttribute.ISSUER_LIST_EX}
        if not context.endpoint.is_open and attribute not in before:
            return Status.SEC_E_INVALID_HANDLE  # nothing has been agreed on yet
        return answer(context, value)

    def set(self, context: SecurityContext, attribute: int, value: Any, size: int) -> int:
        """Play SetContextAttributes (row 73)."""
        if attribute != MoreAttribute.KEYING_MATERIAL_INFO:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        if size != ffi.sizeof("ModelKeyingMaterialInfo"):
            return self._ledger.misuse(f"KEYING_MATERIAL_INFO of {size} bytes")
        info = ffi.cast("ModelKeyingMaterialInfo *", value)
        label = bytes(ffi.buffer(info.pszLabel, info.cbLabel))
        if not label.endswith(b"\0"):
            return self._ledger.misuse("the label counts its NUL in (row 73)")
        has_value = info.pbContextValue != ffi.NULL
        value = bytes(ffi.buffer(info.pbContextValue, info.cbContextValue)) if has_value else b""
        context.keying = label[:-1], value, info.cbKeyingMaterial
        return Status.SEC_E_OK

    # --- what was agreed on ------------------------------------------------------------------

    def _tell_sizes(self, context: SecurityContext, value: Any) -> int:
        sizes = ffi.cast("StreamSizes *", value)
        sizes.cbHeader, sizes.cbTrailer = context.endpoint.header_size(), TRAILER_SIZE
        sizes.cbMaximumMessage, sizes.cBuffers, sizes.cbBlockSize = MOST_MESSAGE_BYTES, 4, 16
        return Status.SEC_E_OK

    def _tell_connection(self, context: SecurityContext, value: Any) -> int:
        connection = ffi.cast("ConnectionInfo *", value)
        connection.dwProtocol = _BITS[context.endpoint.tls.version() or ""][context.is_server]
        strength = self._strength(context)
        connection.aiCipher = _CALG_AES_256 if strength == 256 else _CALG_AES_128
        connection.dwCipherStrength = strength
        connection.aiExch, connection.dwExchStrength = _CALG_ECDHE, 255
        return Status.SEC_E_OK

    def _tell_cipher(self, context: SecurityContext, value: Any) -> int:
        cipher = ffi.cast("CipherInfo *", value)
        if cipher.dwVersion != 1:
            return self._ledger.misuse("CIPHER_INFO is asked for by version 1")
        cipher.dwProtocol = _BITS[context.endpoint.tls.version() or ""][context.is_server]
        cipher.szCipherSuite = context.endpoint.extras.cipher_suite()
        cipher.szCipher, cipher.dwCipherLen = "AES", self._strength(context)
        return Status.SEC_E_OK

    def _tell_key(self, context: SecurityContext, value: Any) -> int:
        key = ffi.cast("ModelKeyInfo *", value)
        key.sSignatureAlgorithmName = self._ledger.keep(ffi.new("wchar_t[]", ""))
        key.sEncryptAlgorithmName = self._ledger.keep(ffi.new("wchar_t[]", "AES"))
        key.KeySize, key.EncryptAlgorithm = self._strength(context), _CALG_AES_256
        return Status.SEC_E_OK

    @staticmethod
    def _strength(context: SecurityContext) -> int:
        cipher = context.endpoint.tls.cipher()
        return 0 if cipher is None else cipher[2]

    def _tell_alpn(self, context: SecurityContext, value: Any) -> int:
        chosen = ffi.cast("ApplicationProtocol *", value)
        name = (context.endpoint.tls.selected_alpn_protocol() or "").encode()
        chosen.Status, chosen.Extension = (_NEGOTIATED, _ALPN_EXTENSION) if name else (0, 0)
        chosen.Size = len(name)
        ffi.memmove(chosen.Id, name, len(name))
        return Status.SEC_E_OK

    def _tell_session(self, context: SecurityContext, value: Any) -> int:
        """Row 47."""
        session = ffi.cast("ModelSessionInfo *", value)
        session.dwFlags = SESSION_RECONNECT if context.endpoint.tls.session_reused else 0
        known = context.endpoint.tls.session
        identifier = b"" if known is None else known.id
        session.cbSessionId = len(identifier)
        ffi.memmove(session.rgbSessionId, identifier, len(identifier))
        return Status.SEC_E_OK

    # --- certificates ------------------------------------------------------------------------

    def _tell_peer(self, context: SecurityContext, value: Any) -> int:
        return self._give_chain(context.endpoint.peer_chain(), value)

    def _tell_own_certificate(self, context: SecurityContext, value: Any) -> int:
        identity = context.credential.identity
        if identity is None:
            return Status.SEC_E_NO_CREDENTIALS
        return self._give_chain(identity.chain_der(), value)

    def _give_chain(self, chain: list[bytes], value: Any) -> int:
        if not chain:
            return Status.SEC_E_NO_CREDENTIALS  # row 38
        if not HAS_CRYPT32:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        ffi.cast("void **", value)[0] = self._certificates.give(chain)
        return Status.SEC_E_OK

    def _tell_issuers(self, context: SecurityContext, value: Any) -> int:
        """Row 29: the names of the authorities that the server takes certificates of."""
        request = context.endpoint.certificate_request
        if not request:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        names = authorities_of(request, is_tls13=context.endpoint.is_tls13)
        issuers = ffi.cast("ModelIssuerList *", value)
        memories = [ffi.new("uint8_t[]", name) for name in names]
        blobs = ffi.new("ModelNameBlob[]", max(1, len(names)))
        for blob, memory, name in zip(blobs, memories, names, strict=False):
            blob.cbData, blob.pbData = len(name), memory
        issuers.cIssuers, issuers.aIssuers = len(names), self._ledger.keep(blobs, *memories)
        return Status.SEC_E_OK

    # --- bindings and keys -------------------------------------------------------------------

    def _tell_end_point(self, context: SecurityContext, value: Any) -> int:
        """Row 72: RFC 5929, 4: the server's certificate, by its signature's hash."""
        identity = context.credential.identity
        own = identity.chain_der() if identity is not None and context.is_server else []
        chain = own or context.endpoint.peer_chain()
        if not chain:
            return Status.SEC_E_NO_CREDENTIALS
        certificate = x509.load_der_x509_certificate(chain[0])
        algorithm = certificate.signature_hash_algorithm
        if algorithm is None or algorithm.name in {"md5", "sha1"}:
            algorithm = hashes.SHA256()
        digest = certificate.fingerprint(algorithm)
        return self._give_bindings(b"tls-server-end-point:" + digest, value)

    def _tell_unique(self, context: SecurityContext, value: Any) -> int:
        """Row 72: up to TLS 1.2."""
        if context.endpoint.is_tls13:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        unique = context.endpoint.tls.get_channel_binding("tls-unique") or b""
        return self._give_bindings(b"tls-unique:" + unique, value)

    def _give_bindings(self, data: bytes, value: Any) -> int:
        header = _BINDINGS_HEADER.pack(0, 0, 0, 0, 0, 0, len(data), _BINDINGS_HEADER.size)
        bindings = ffi.cast("ModelBindings *", value)
        bindings.BindingsLength = len(header) + len(data)
        bindings.Bindings = self._ledger.give(header + data)
        return Status.SEC_E_OK

    def _tell_keying_material(self, context: SecurityContext, value: Any) -> int:
        """Row 73: after SetContextAttributes."""
        if context.keying is None:
            return self._ledger.misuse("KEYING_MATERIAL before KEYING_MATERIAL_INFO (row 73)")
        if context.phase is Phase.FAILED:
            return Status.SEC_E_INVALID_HANDLE
        material = context.endpoint.extras.export_keying_material(*context.keying)
        answer = ffi.cast("ModelKeyingMaterial *", value)
        answer.cbKeyingMaterial = len(material)
        answer.pbKeyingMaterial = self._ledger.give(material)
        return Status.SEC_E_OK


def authorities_of(request: bytes, *, is_tls13: bool) -> list[bytes]:
    """Return the distinguished names of a CertificateRequest (RFC 5246, 7.4.4; RFC 8446, 4.3.2)."""
    body = request[4:]
    if not is_tls13:
        _types, body = vector(body, 1)
        _algorithms, body = vector(body, 2)
        return _split(vector(body, 2)[0])
    _request_context, body = vector(body, 1)
    authorities = extension_of(vector(body, 2)[0], _AUTHORITIES_EXTENSION)
    return [] if authorities is None else _split(vector(authorities, 2)[0])


def _split(data: bytes) -> list[bytes]:
    names = []
    while data:
        name, data = vector(data, 2)
        names.append(name)
    return names
