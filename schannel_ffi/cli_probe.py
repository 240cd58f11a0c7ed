"""`schannel-ffi probe`: what a TLS server presents and whether it can be trusted, in words.

The server is judged by the rules that `connect` has. When it fails, a second connection without
verification shows the rest; nothing but EHLO and QUIT is ever said on it.
"""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schannel_ffi.certificates import Certificate
from schannel_ffi.cli_output import Output
from schannel_ffi.config import TLSConfig
from schannel_ffi.errors import CertificateError, TLSError, TLSTimeout
from schannel_ffi.smtp import Capabilities, Session, SMTPError
from schannel_ffi.sockets import TLSSocket, connect, wrap

TIMEOUT_SECONDS = 30.0
GREETING_SECONDS = 1.0  # a server that speaks first does so at once; a web server never does
STARTTLS_PORTS = (25, 587)
SMTPS_PORT = 465


@dataclass(frozen=True)
class Request:
    """What to probe and how.

    Attributes:
        smtp: Whether it is an SMTP server; None: look whether it greets as one.
    """

    host: str
    port: int
    starttls: bool
    smtp: bool | None
    config: TLSConfig
    server_hostname: str | None
    timeout: float

    @classmethod
    def of(
        cls,
        host: str,
        port: int,
        *,
        starttls: bool,
        smtp: bool | None,
        config: TLSConfig,
        server_hostname: str | None,
        timeout: float | None,
    ) -> Request:
        """Fill in what the port says: 25 and 587 are STARTTLS, 465 is SMTP inside TLS."""
        if not starttls and smtp is not False and port in STARTTLS_PORTS:
            starttls = True
        if starttls or (smtp is None and port == SMTPS_PORT):
            smtp = True
        seconds = TIMEOUT_SECONDS if timeout is None else timeout
        return cls(host, port, starttls, smtp, config, server_hostname, seconds)


@dataclass
class Findings:
    """What was seen.

    Attributes:
        chain: The peer's own certificate first.
        capabilities: None when it was not asked for, or not told.
        refusal: Why the certificate was refused, or None.
        smtp_error: What went wrong after TLS was up, or None.
    """

    address: str = ""
    version: str = ""
    cipher_suite: str = ""
    bits: int = 0
    alpn: bytes | None = None
    chain: tuple[Certificate, ...] = ()
    capabilities: Capabilities | None = None
    refusal: CertificateError | None = field(default=None)
    smtp_error: SMTPError | None = field(default=None)

    def look_at(self, sock: TLSSocket) -> None:
        """Note what was negotiated on a connection."""
        self.address = str(sock.getpeername()[0])
        self.cipher_suite, self.version, self.bits = sock.cipher()
        self.alpn = sock.alpn_protocol
        self.chain = sock.verified_chain or sock.peer_certificates


def probe(request: Request, output: Output) -> int:
    """Print what the server presents and return the exit status. Blocks.

    Raises:
        TLSError, SMTPError: no TLS connection came about.
    """
    findings = examine(request)
    for line in describe(request, findings):
        output.line(line)
    if findings.smtp_error is not None:
        output.error(str(findings.smtp_error))
    return 0 if findings.refusal is None and findings.smtp_error is None else 1


def examine(request: Request) -> Findings:
    """Connect, once more without verification when that fails, and return what was seen."""
    try:
        return _examine(request)
    except CertificateError as exc:
        config = replace(request.config, insecure_skip_verify=True)
        findings = _examine(replace(request, config=config))
        findings.refusal = exc
        findings.chain = exc.chain or findings.chain
        return findings


def _examine(request: Request) -> Findings:
    if request.smtp:
        return _examine_smtp(request)
    findings = Findings()
    with connect(
        (request.host, request.port),
        config=request.config,
        server_hostname=request.server_hostname,
        timeout=request.timeout,
    ) as sock:
        findings.look_at(sock)
        greets = request.smtp is None and _greets(sock)
    return _examine_smtp(request) if greets else findings


def _greets(sock: TLSSocket) -> bool:
    """Return whether the server begins as SMTP servers do (RFC 5321 section 3.1)."""
    sock.settimeout(GREETING_SECONDS)
    try:
        return sock.recv(512).startswith(b"220")
    except (TLSTimeout, TLSError):
        return False


def _examine_smtp(request: Request) -> Findings:
    tls = _ObservedTLS(request.config)
    session = Session(
        request.host,
        request.port,
        security="starttls" if request.starttls else "tls",
        tls=tls,
        server_hostname=request.server_hostname,
        timeout=request.timeout,
    )
    try:
        with session:
            tls.findings.capabilities = session.capabilities
    except SMTPError as exc:
        if isinstance(exc.__cause__, CertificateError):
            raise exc.__cause__ from None
        if not tls.findings.version:
            raise
        tls.findings.smtp_error = exc
    return tls.findings


class _ObservedTLS:
    """Schannel in the shape of an ssl.SSLContext, which a Session takes: it sees the socket."""

    def __init__(self, config: TLSConfig) -> None:
        self._config = config
        self.findings = Findings()

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> TLSSocket:
        """Shake hands and verify within the socket's timeout."""
        encrypted = wrap(
            sock,
            config=self._config,
            server_hostname=server_hostname,
            timeout=sock.gettimeout(),
        )
        try:
            self.findings.look_at(encrypted)
        except BaseException:
            encrypted.close()
            raise
        return encrypted


def describe(
    request: Request, findings: Findings, *, now: datetime.datetime | None = None
) -> Iterator[str]:
    """Yield the findings as lines."""
    way = "STARTTLS" if request.starttls else "TLS"
    yield f"server        {request.host}:{request.port} ({findings.address}), {way}"
    yield f"protocol      {findings.version}"
    yield f"cipher        {findings.cipher_suite}, {findings.bits} bits"
    if findings.alpn:
        yield f"ALPN          {findings.alpn.decode('ascii', 'backslashreplace')}"
    yield from _verdict(request, findings)
    now = now or datetime.datetime.now(datetime.timezone.utc)
    for number, certificate in enumerate(findings.chain, start=1):
        yield f"certificate   {number} of {len(findings.chain)}"
        yield from _describe_certificate(certificate, now)
    if findings.capabilities is not None:
        yield "EHLO"
        for keyword, parameters in findings.capabilities.keywords.items():
            yield f"  {keyword} {parameters}".rstrip()


def _verdict(request: Request, findings: Findings) -> Iterator[str]:
    refusal = findings.refusal
    if refusal is None:
        yield f"verification  passed: trusted, and for {request.server_hostname or request.host}"
        return
    yield f"verification  FAILED: {refusal.reason}"
    yield f"  {refusal}"


def _describe_certificate(certificate: Certificate, now: datetime.datetime) -> Iterator[str]:
    yield f"  subject     {certificate.subject or '(none)'}"
    yield f"  issuer      {certificate.issuer or '(none)'}"
    yield f"  valid       {_time(certificate.not_before)} to {_time(certificate.not_after)}"
    yield f"              {_validity(certificate, now)}"
    yield f"  SHA-1       {certificate.sha1}"
    yield f"  SHA-256     {certificate.sha256}"
    if certificate.pin:
        yield f"  pin         {certificate.pin}"


def _time(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _validity(certificate: Certificate, now: datetime.datetime) -> str:
    if now < certificate.not_before:
        return f"not valid for another {_days(certificate.not_before - now)}"
    if now > certificate.not_after:
        return f"expired {_days(now - certificate.not_after)} ago"
    return f"expires in {_days(certificate.not_after - now)}"


def _days(span: datetime.timedelta) -> str:
    return "1 day" if span.days == 1 else f"{span.days} days"
