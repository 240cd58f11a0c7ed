"""`schannel-ffi probe`: how findings are told, and what it finds on loopback servers."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from certs import Certificates
from cli_samples import Command, StartServer, lines
from cryptography.hazmat.primitives import hashes
from loopback import RawServer, TLSServer

from schannel_ffi import Certificate, CertificateError, CertificateReason, TLSConfig
from schannel_ffi.cli_probe import Findings, Request, describe
from schannel_ffi.smtp import Capabilities

pytest_plugins = ["cli_fixtures"]

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def certificate(not_before: datetime.datetime, not_after: datetime.datetime) -> Certificate:
    return Certificate(b"", "CN=mail", "CN=authority", not_before, not_after, "51", "256")


def request(port: int = 443, *, starttls: bool = False, smtp: bool | None = None) -> Request:
    return Request.of(
        "mail.test",
        port,
        starttls=starttls,
        smtp=smtp,
        config=TLSConfig(),
        server_hostname=None,
        timeout=None,
    )


def test_findings_are_told_in_words() -> None:
    findings = Findings(
        address="192.0.2.1",
        version="TLSv1.3",
        cipher_suite="TLS_AES_256_GCM_SHA384",
        bits=256,
        chain=(certificate(NOW - DAY, NOW + 36 * DAY),),
        capabilities=Capabilities({"PIPELINING": "", "SIZE": "1000"}),
    )

    told = list(describe(request(465), findings, now=NOW))

    assert [
        "server        mail.test:465 (192.0.2.1), TLS",
        "protocol      TLSv1.3",
        "cipher        TLS_AES_256_GCM_SHA384, 256 bits",
        "verification  passed: trusted, and for mail.test",
        "certificate   1 of 1",
        "  subject     CN=mail",
        "  issuer      CN=authority",
        "  valid       2026-11-22 12:00 UTC to 2026-12-29 12:00 UTC",
        "              expires in 36 days",
        "  SHA-1       51",
        "  SHA-256     256",
        "EHLO",
        "  PIPELINING",
        "  SIZE 1000",
    ] == told


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        (-2, -1, "expired 1 day ago"),
        (2, 3, "not valid for another 2 days"),
        (-2, 1, "expires in 1 day"),
        (-2, 0.5, "expires in 0 days"),
    ],
)
def test_validity_is_told_in_days(begins: int, ends: float, words: str) -> None:
    findings = Findings(chain=(certificate(NOW + begins * DAY, NOW + ends * DAY),))

    assert f"              {words}" in list(describe(request(), findings, now=NOW))


def test_refusal_is_told_with_its_reason_and_hint() -> None:
    refusal = CertificateError("refused", reason=CertificateReason.EXPIRED, hint="renew it")

    told = list(describe(request(), Findings(refusal=refusal), now=NOW))

    assert ["verification  FAILED: expired", "  refused; renew it"] == told[3:5]


@pytest.mark.parametrize(
    ("port", "starttls", "smtp", "wanted"),
    [
        (443, False, None, (False, None)),
        (443, False, True, (False, True)),
        (465, False, None, (False, True)),
        (465, False, False, (False, False)),
        (587, False, None, (True, True)),
        (25, False, None, (True, True)),
        (25, False, False, (False, False)),
        (2525, True, None, (True, True)),
    ],
)
def test_well_known_ports_choose_the_way(
    port: int, *, starttls: bool, smtp: bool | None, wanted: tuple[bool, bool | None]
) -> None:
    made = request(port, starttls=starttls, smtp=smtp)

    assert wanted == (made.starttls, made.smtp)


@pytest.mark.schannel
@pytest.mark.parametrize(
    ("security", "options"),
    [("tls", []), ("tls", ["--smtp"]), ("starttls", ["--starttls", "smtp"])],
    ids=["greeting", "smtp", "starttls"],
)
def test_mail_server_is_shown_with_its_capabilities(
    command: Command,
    smtp_server: StartServer,
    authority: Path,
    certificates: Certificates,
    security: str,
    options: list[str],
) -> None:
    server = smtp_server(security=security)

    done = command("probe", f"127.0.0.1:{server.port}", "--ca", authority, *options)

    assert (0, "") == (done.status, done.err)
    assert "verification  passed: trusted, and for 127.0.0.1" in done.out
    assert "  PIPELINING\n" in done.out
    assert "  SIZE 104857600\n" in done.out
    leaf = certificates.ip_address.leaf
    assert f"  SHA-256     {leaf.fingerprint(hashes.SHA256()).hex()}" in done.out
    assert {b"EHLO", b"QUIT", b"STARTTLS"} >= {line.split()[0] for line in server.commands}


@pytest.mark.schannel
def test_tls_server_that_says_nothing_is_shown_without_capabilities(
    command: Command,
    tls_server: Callable[..., TLSServer],
    certificates: Certificates,
    authority: Path,
) -> None:
    server = tls_server(certificates.ip_address)
    host, port = server.address

    done = command("probe", f"{host}:{port}", "--ca", authority)

    assert (0, "") == (done.status, done.err)
    assert "EHLO" not in done.out
    assert "certificate   1 of 2" in done.out


@pytest.mark.schannel
@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ("expired", "expired"),
        ("not_yet_valid", "not yet valid"),
        ("wrong_name", "name mismatch"),
        ("self_signed", "self-signed"),
    ],
)
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_refused_certificate_is_explained_and_the_rest_is_shown(
    command: Command,
    smtp_server: StartServer,
    certificates: Certificates,
    tmp_path: Path,
    identity: str,
    reason: str,
    security: str,
) -> None:
    presented = getattr(certificates, identity)
    (tmp_path / "anchor.pem").write_bytes(presented.anchor_pem)
    server = smtp_server(presented, security=security)
    way = ["--starttls", "smtp"] if security == "starttls" else ["--smtp"]

    done = command(
        *("probe", f"127.0.0.1:{server.port}", "--ca", tmp_path / "anchor.pem", *way),
        *("--server-hostname", "server.test"),
    )

    assert (1, "") == (done.status, done.err)
    assert f"verification  FAILED: {reason}\n  the certificate of server.test" in done.out
    assert "protocol      TLSv1." in done.out
    assert "certificate   1 of" in done.out
    assert "  PIPELINING\n" in done.out


@pytest.mark.schannel
@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("CONNECT", ["--starttls", "smtp"]),
        ("EHLO", ["--starttls", "smtp"]),
        ("STARTTLS", ["--starttls", "smtp"]),
    ],
)
@pytest.mark.parametrize("misbehaviour", ["stall_at", "drop_at"])
def test_server_that_stops_before_tls_is_one_line(
    command: Command,
    smtp_server: StartServer,
    stage: str,
    options: list[str],
    misbehaviour: str,
) -> None:
    server = smtp_server(security="starttls", **{misbehaviour: stage})

    seconds = "2" if misbehaviour == "stall_at" else "30"

    done = command("probe", f"127.0.0.1:{server.port}", "--timeout", seconds, *options)

    assert (1, "") == (done.status, done.out)
    lines(done.err, 1)


@pytest.mark.schannel
def test_what_was_found_is_shown_when_the_mail_server_refuses_to_talk(
    command: Command, smtp_server: StartServer, authority: Path
) -> None:
    server = smtp_server(replies={"CONNECT": "554 5.7.1 go away"})

    done = command("probe", f"127.0.0.1:{server.port}", "--smtp", "--ca", authority)

    assert 1 == done.status
    assert "verification  passed" in done.out
    assert "the server refused the session: 554 5.7.1 go away" in lines(done.err, 1)[0]


@pytest.mark.schannel
def test_server_without_starttls_is_one_line(command: Command, smtp_server: StartServer) -> None:
    server = smtp_server(security="plain")

    done = command("probe", f"127.0.0.1:{server.port}", "--starttls", "smtp")

    assert (1, "") == (done.status, done.out)
    assert "the server does not offer STARTTLS; try port 465" in lines(done.err, 1)[0]


@pytest.mark.schannel
@pytest.mark.parametrize(
    "answer",
    [b"220 mail ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""],
    ids=["smtp", "http", "silence_then_end"],
)
def test_peer_without_tls_is_one_line(
    command: Command, raw_server: Callable[..., RawServer], answer: bytes
) -> None:
    host, port = raw_server(answer).address

    done = command("probe", f"{host}:{port}", "--timeout", "2")

    assert (1, "") == (done.status, done.out)
    lines(done.err, 1)


@pytest.mark.schannel
def test_refused_connection_is_one_line(command: Command) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        done = command("probe", f"127.0.0.1:{port}", "--timeout", "5")

    assert (1, "") == (done.status, done.out)
    assert "cannot connect to" in lines(done.err, 1)[0]
