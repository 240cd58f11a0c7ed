"""The engine over models of Windows' Schannel, against real servers: what Wine does not show.

A number in a comment is the row of windows_behaviours.md.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import model_lane
import pytest
from certs import HOST, Certificates
from clients import Connector, read_exactly
from conversation import TLSConversation
from loopback import Server, TLSServer
from schannel_model import SchannelModel
from schannel_model_options import VARIANTS, Windows, windows_7, windows_11

from schannel_ffi import CertificateError

pytestmark = [
    pytest.mark.schannel,
    pytest.mark.not_over_the_model(reason="has models of its own"),
]

StartTLS = Callable[..., TLSServer]


@pytest.fixture(params=VARIANTS)
def windows(request: pytest.FixtureRequest, tls_version: ssl.TLSVersion) -> Windows:
    """Each Windows that can speak the version of this lane."""
    chosen = VARIANTS[request.param]()
    if tls_version is ssl.TLSVersion.TLSv1_3 and chosen.versions == windows_7().versions:
        pytest.skip(f"{chosen.name} has no TLS 1.3")
    return chosen


@pytest.fixture
def model(windows: Windows) -> Iterator[SchannelModel]:
    """Have connections made over this Windows; it must have nothing to tell at the end."""
    with model_lane.installed(windows, lambda: False) as model:
        yield model


@pytest.fixture
def connect(model: SchannelModel, certificates: Certificates) -> Iterator[Connector]:
    connector = Connector(certificates.good)
    yield connector
    connector.close()


def tls_of(server: Server, number: int = -1) -> TLSConversation:
    conversation = server.conversation(number)
    assert isinstance(conversation, TLSConversation)
    return conversation


def test_data_goes_both_ways_over_every_windows(
    model: SchannelModel, tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(send_in_pieces_of=7)

    with connect(server) as client:
        contexts = len(model.ledger.contexts)
        client.sendall(b"hello")
        answer = read_exactly(client, 5)

    assert (1, b"hello") == (contexts, answer)


def test_server_is_told_why_its_certificate_is_refused(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    server = tls_server(certificates.unknown_ca_not_sent)

    with pytest.raises(CertificateError):
        connect(server)

    assert "unknown_ca" == server.conversation().alert  # 45


def test_second_connection_resumes_the_session(
    model: SchannelModel, tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()

    for _ in range(2):
        with connect(server) as client:
            client.sendall(b"hello")
            assert b"hello" == read_exactly(client, 5)
            client.unwrap().close()

    reused = [tls_of(server, number).tls.session_reused for number in range(2)]
    assert [False, model.windows.resumes] == reused  # 12


def test_windows_that_knows_only_the_old_structure_still_connects(
    tls_server: StartTLS, certificates: Certificates
) -> None:
    server = tls_server(version=ssl.TLSVersion.TLSv1_2)
    connector = Connector(certificates.good)

    with (
        model_lane.installed(windows_7(), lambda: False),
        connector(server, host=HOST, alpn_protocols=("h2",)) as client,
    ):
        version = client.version()

    assert "TLSv1.2" == version  # 1, 17


def test_lane_fails_on_a_misuse() -> None:
    with (
        pytest.raises(AssertionError, match="spilt milk"),
        model_lane.installed(windows_11(), lambda: False) as model,
    ):
        model.ledger.misuse("spilt milk")
