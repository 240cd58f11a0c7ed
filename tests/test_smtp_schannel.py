"""The SMTP floor on the TLS floor below it: real Schannel, on Windows or under Wine."""

from __future__ import annotations

import ssl

import pytest
from certs import Certificates
from smtp_samples import MESSAGE, RECIPIENT, OpenSession, StartServer, TLSEnds

from schannel_ffi import CertificateError, ClientCertificate, TLSConfig, TrustStore
from schannel_ffi.smtp import ConnectionFailed, ConnectionLost, Outcome, RemoteProtocolError

pytest_plugins = ["smtp_fixtures"]
pytestmark = pytest.mark.schannel

LARGE = MESSAGE + (b"x" * 75 + b"\r\n") * 60_000


@pytest.fixture
def config(smtp_tls: TLSEnds) -> TLSConfig:
    return TLSConfig(trust=TrustStore.from_pem(smtp_tls.anchor_pem))


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "byte_by_byte"])
def test_messages_arrive(
    start_server: StartServer,
    open_session: OpenSession,
    config: TLSConfig,
    security: str,
    chunk: int | None,
) -> None:
    server = start_server(security=security, users={"u": "p"}, chunk=chunk)

    with open_session(server, tls=config, login=("u", "p")) as session:
        results = [session.send(message) for message in (MESSAGE, LARGE, MESSAGE)]

    assert [result.queue_id for result in results] == ["Q0x1", "Q0x2", "Q0x3"]
    assert [message.data for message in server.messages] == [MESSAGE, LARGE, MESSAGE]
    assert server.messages[0].is_encrypted
    assert server.messages[0].login == "u"


def test_the_envelope_is_one_record(
    start_server: StartServer, open_session: OpenSession, config: TLSConfig
) -> None:
    server = start_server(security="tls")

    with open_session(server, tls=config) as session:
        session.send(MESSAGE)

    assert server.reads[1].endswith(b"DATA\r\n")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_untrusted_server_gets_nothing(
    start_server: StartServer, open_session: OpenSession, security: str
) -> None:
    server = start_server(security=security, users={"u": "p"})

    with pytest.raises(ConnectionFailed) as caught:
        open_session(server, tls=TLSConfig(), login=("u", "p"))

    assert isinstance(caught.value.__cause__, CertificateError)
    assert b"AUTH" not in b" ".join(server.commands)


@pytest.mark.not_over_the_model(reason="Wine's CNG keeps no keys")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_client_certificate_of_the_config_is_presented(
    start_server: StartServer, open_session: OpenSession, certificates: Certificates, security: str
) -> None:
    context = certificates.ip_address.server_context()
    context.load_verify_locations(cadata=certificates.ca.cert_pem.bytes().decode())
    context.verify_mode = ssl.CERT_REQUIRED
    server = start_server(security=security, tls=context)
    own = certificates.client_rsa
    config = TLSConfig(
        trust=TrustStore.from_pem(certificates.ip_address.anchor_pem),
        client_certificate=ClientCertificate.from_pem(own.chain_pem, own.key_pem),
    )

    with open_session(server, tls=config) as session:
        result = session.send(MESSAGE)

    assert result.outcomes == {RECIPIENT: Outcome.DELIVERED}


def test_plaintext_after_starttls_is_refused(
    start_server: StartServer, open_session: OpenSession, config: TLSConfig
) -> None:
    server = start_server(security="starttls", surplus_after_starttls=b"250 injected\r\n")

    with pytest.raises(RemoteProtocolError, match="plaintext after"):
        open_session(server, tls=config)


def test_a_verdict_that_never_comes_is_unknown(
    start_server: StartServer, open_session: OpenSession, config: TLSConfig
) -> None:
    server = start_server(security="tls", drop_at="EOD")

    with pytest.raises(ConnectionLost) as caught:
        open_session(server, tls=config).send(MESSAGE)

    assert caught.value.outcomes == {RECIPIENT: Outcome.UNKNOWN}


def test_a_stale_connection_is_replaced(
    start_server: StartServer, open_session: OpenSession, config: TLSConfig
) -> None:
    server = start_server(security="tls", drop_after="EOD")
    session = open_session(server, tls=config)

    results = [session.send(MESSAGE) for _ in range(3)]

    assert [result.queue_id for result in results] == ["Q0x1", "Q1x1", "Q2x1"]


def test_an_early_refusal_is_the_outcome(
    start_server: StartServer, open_session: OpenSession, config: TLSConfig
) -> None:
    server = start_server(security="tls", early_reply=(1 << 20, "552 5.3.4 too big"))

    result = open_session(server, tls=config).send(LARGE * 4)

    assert result.outcomes == {RECIPIENT: Outcome.REFUSED_PERMANENT}
