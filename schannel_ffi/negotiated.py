"""What a handshake agreed on, told with the names of `ssl.SSLSocket`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from schannel_ffi import _lib
from schannel_ffi.certificates import Certificate

__all__ = ["Negotiated"]


class Negotiated:
    """The facts about a connection, for a class that has an engine."""

    _chain: tuple[bytes, ...] = ()  # as Windows built it, DER, leaf first; () until verified

    def _asking(self) -> AbstractContextManager[_lib.EngineOwner]:
        """Keep the engine valid for a question."""
        raise NotImplementedError

    def version(self) -> str:
        """Return the protocol version, "TLSv1.2" or "TLSv1.3"."""
        return str(self._agreed().version or "unknown")

    def cipher(self) -> tuple[str, str, int]:
        """Return cipher suite, protocol version and strength in bits, as Windows names them."""
        agreed = self._agreed()
        return agreed.cipher_suite, str(agreed.version or "unknown"), agreed.cipher_strength

    @property
    def alpn_protocol(self) -> bytes | None:
        """The protocol agreed on by ALPN (RFC 7301), or None."""
        return self._agreed().alpn

    def selected_alpn_protocol(self) -> str | None:
        """Return `alpn_protocol` as `ssl.SSLSocket` does: str."""
        name = self.alpn_protocol
        return name.decode("ascii", "backslashreplace") if name is not None else None

    @property
    def session_resumed(self) -> bool | None:
        """Whether the handshake went on with an earlier session; None where Windows does not tell.

        The certificate was verified again all the same, by the settings of this connection.

        Source: Microsoft Learn, "SecPkgContext_SessionInfo".
        """
        return self._agreed().session_resumed

    @property
    def key_exchange(self) -> tuple[str, int]:
        """The key exchange, as Windows names it ("ECDHE"), and its strength in bits.

        "" and 0 where Windows does not tell.

        Source: Microsoft Learn, "SecPkgContext_CipherInfo", "SecPkgContext_ConnectionInfo".
        """
        agreed = self._agreed()
        return agreed.key_exchange, agreed.key_exchange_strength

    def _agreed(self) -> _lib.Agreed:
        with self._asking() as engine:
            return engine.agreed()

    def channel_binding(self, kind: str) -> bytes:
        """Return bytes that both ends of this TLS connection know, to bind a login to it.

        Does not wait. Ask again after a renegotiation.

        Args:
            kind: "tls-server-end-point", "tls-unique" or "tls-exporter".

        Returns:
            32, 48 or 64 bytes for tls-server-end-point (a digest of the server's certificate), 12
            or more for tls-unique, 32 for tls-exporter; without the kind's name before them.

        Raises:
            ValueError: an unknown kind.
            TLSError: this connection has none: tls-unique under TLS 1.3 or of a resumed session,
                tls-exporter before TLS 1.3, a certificate signed without a hash function; or this
                Windows has none (tls-exporter before Windows 10).

        Source: RFC 5929; RFC 9266; Microsoft Learn, "QueryContextAttributes (Schannel)".
        """
        with self._asking() as engine:
            return engine.channel_binding(kind)

    def export_keying_material(
        self, label: str, length: int, context: bytes | None = None
    ) -> bytes:
        """Return keys for another protocol, derived from this connection's. Does not wait.

        Args:
            label: 1..249 ASCII characters; registered ones begin with "EXPORTER".
            length: 1..65535 bytes to return; the cipher suite may allow fewer.
            context: 0..65535 bytes that are mixed in; None and b"" are the same.

        Raises:
            ValueError: an impossible label, length or context.
            TLSError: not TLS 1.3, where alone this is safe; or a Windows before 10.

        Source: RFC 8446, 7.5; Microsoft Learn, "SecPkgContext_KeyingMaterialInfo".
        """
        with self._asking() as engine:
            return engine.export(label, length, bytes(context or b""))

    @property
    def peer_certificates(self) -> tuple[Certificate, ...]:
        """The certificates the peer sent: its own first, then each one's issuer, then the rest.

        Windows forgets the order on the wire; this is the one of RFC 8446, 4.4.2. () when it sent
        none. What was trusted stands in `verified_chain`.
        """
        with self._asking() as engine:
            sent = engine.sent_certificates()
        return tuple(_lib.describe_certificate(der) for der in sent)

    @property
    def verified_chain(self) -> tuple[Certificate, ...]:
        """The chain that was verified, as Windows built it: the peer's own to the trust anchor.

        () with `insecure_skip_verify`.
        """
        return tuple(_lib.describe_certificate(der) for der in self._chain)

    def getpeercert(self, binary_form: bool = True) -> bytes | None:  # noqa: FBT001, FBT002 - as ssl.SSLSocket
        """Return the peer's own certificate, DER; False is OpenSSL's own format: not here."""
        if not binary_form:
            raise ValueError(
                "only binary_form=True; peer_certificates tells subject, issuer and dates"
            )
        certificates = self.peer_certificates
        return certificates[0].der if certificates else None
