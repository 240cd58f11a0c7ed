"""`wrap(server_side=True)`: the server's part on sockets, with our client and the stdlib's.

Over the model of Schannel, and over the system's own where that takes the server's part.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from certs import HOST, Certificates
from clients import read_exactly, stream
from own_server import Accept, Configs, client_certificate, server_certificate
from own_server import takes_the_servers_part as takes
from waits import PATIENCE_S, in_thread, interrupted

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    ClientAuthentication,
    HandshakeError,
    PeerAlert,
    SocketClosed,
    TLSConfig,
    TLSError,
    TLSSocket,
    TLSTimeout,
)

pytest_plugins = ["server_fixtures"]
pytestmark = pytest.mark.schannel

MIB = 1 << 20
REQUIRED = ClientAuthentication.REQUIRED


def connect(address: tuple[str, int], config: TLSConfig, **how: Any) -> TLSSocket:
    return schannel_ffi.connect(address, config=config, server_hostname=HOST, **how)


def test_server_answers_our_client(
    accept: Accept, configs: Configs, tls_version: ssl.TLSVersion
) -> None:
    server, data = accept(), stream(MIB, seed=1)

    with connect(server.address, configs.client()) as client:
        with in_thread(lambda: client.sendall(data)):
            received = read_exactly(client, len(data))
        version = client.version()

    assert data == received
    assert tls_version.name.replace("_", ".") == version
    assert server.outcome() is None


def test_server_answers_another_client(
    accept: Accept, certificates: Certificates, tls_version: ssl.TLSVersion
) -> None:
    server = accept(alpn_protocols=("smtp",))
    context = certificates.good_rsa.client_context()
    context.minimum_version = context.maximum_version = tls_version
    context.set_alpn_protocols(["h2", "smtp"])

    with (
        socket.create_connection(server.address, 20.0) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as client,
    ):
        client.sendall(b"hello")
        answer, alpn = client.recv(5), client.selected_alpn_protocol()
        client.unwrap()

    assert (b"hello", "smtp") == (answer, alpn)
    assert server.outcome() is None


@pytest.mark.usefixtures("asks_clients")
def test_server_sees_its_clients_certificate(
    accept: Accept, configs: Configs, certificates: Certificates
) -> None:
    seen: list[tuple[schannel_ffi.Certificate, ...]] = []
    server = accept(lambda tls: seen.append(tls.peer_certificates), client_authentication=REQUIRED)
    own = client_certificate(certificates.client_rsa)

    with connect(server.address, configs.client(client_certificate=own)) as client:
        assert b"" == client.recv(1)

    assert [certificates.client_rsa.leaf_der] == [chain[0].der for chain in seen]


@pytest.mark.usefixtures("asks_clients")
def test_client_that_only_listens_finishes_its_handshake(
    accept: Accept, configs: Configs, certificates: Certificates
) -> None:
    server = accept(lambda tls: tls.sendall(b"220 ready"), client_authentication=REQUIRED)
    own = client_certificate(certificates.client_rsa)

    with connect(server.address, configs.client(client_certificate=own)) as client:
        readable, _, _ = select.select([client.fileno()], [], [], 10.0)  # B85: asks nothing of us
        assert [client.fileno()] == readable
        assert server.outcome() is None
        assert b"220 ready" == read_exactly(client, 9)


def test_client_without_the_certificate_is_refused(accept: Accept, configs: Configs) -> None:
    server = accept(client_authentication=REQUIRED)

    with (
        pytest.raises(TLSError),  # under TLS 1.3 it comes with the first answer
        connect(server.address, configs.client()) as client,
    ):
        client.recv(1)

    assert isinstance(server.outcome(), CertificateError)


@pytest.mark.usefixtures("asks_clients")
def test_client_learns_that_its_certificate_was_refused(
    accept: Accept, certificates: Certificates, tls_version: ssl.TLSVersion
) -> None:
    strangers = schannel_ffi.TrustStore.from_pem(certificates.other_ca.cert_pem.bytes())
    server = accept(client_authentication=REQUIRED, trust=strangers)
    context = certificates.good_rsa.client_context()
    context.minimum_version = context.maximum_version = tls_version
    certificates.client_rsa.present_in(context)

    with (
        socket.create_connection(server.address, 20.0) as raw,
        pytest.raises(ssl.SSLError, match=r"(?i)alert|unknown.ca"),
        context.wrap_socket(raw, server_hostname=HOST) as client,
    ):
        client.recv(1)

    outcome = server.outcome()
    assert isinstance(outcome, CertificateError)
    assert "127.0.0.1" in str(outcome)


def test_client_that_refuses_the_server_is_told_to_it(
    accept: Accept, configs: Configs, certificates: Certificates
) -> None:
    server = accept(server_certificate=server_certificate(certificates.server_rsa_only))

    with pytest.raises(CertificateError):
        connect(server.address, configs.client())

    assert isinstance(server.outcome(), PeerAlert | ConnectionError | TLSError)


def test_peer_that_is_not_tls_is_told_as_such(accept: Accept) -> None:
    server = accept()

    with socket.create_connection(server.address, 20.0) as client:
        client.sendall(b"EHLO client.test\r\n")
        outcome = server.outcome()

    assert isinstance(outcome, HandshakeError)
    assert "EHLO" in str(outcome)


@pytest.mark.skipif(sys.platform != "win32", reason="handles are Windows'")
def test_accepted_handle_is_not_inherited(accept: Accept, configs: Configs) -> None:
    inherited: list[bool] = []  # B97

    def look(tls: TLSSocket) -> None:
        ask: Any = getattr(os, "get_handle_inheritable")  # noqa: B009 - Windows has it
        inherited.append(ask(tls.fileno()))

    server = accept(look)
    with connect(server.address, configs.client()) as client:
        client.recv(1)

    assert server.outcome() is None
    assert [False] == inherited


def test_second_connection_resumes_the_session_unless_forbidden(
    accept: Accept, configs: Configs
) -> None:
    server = accept()

    def is_resumed(config: TLSConfig) -> bool | None:
        with connect(server.address, config) as client:
            client.sendall(b"x")
            client.recv(1)
            return client.session_resumed

    allowed = [is_resumed(configs.client()) for _ in range(2)]
    forbidden = [is_resumed(configs.client(resume=False)) for _ in range(2)]

    assert True not in forbidden
    assert allowed in ([False, True], [None, None])  # None: Wine does not tell


# --- waiting ------------------------------------------------------------------------------------


@pytest.fixture
def silent(configs: Configs) -> Any:
    """Call `wrap` as a server for a client that never says anything."""
    near, far = socket.socketpair()
    with near, far:
        yield lambda timeout: schannel_ffi.wrap(
            near, config=configs.server(), server_side=True, timeout=timeout
        )


def test_ctrl_c_ends_the_wait_for_a_silent_client(silent: Callable[[float | None], object]) -> None:
    assert interrupted(lambda: silent(None)) < PATIENCE_S  # B83


def test_silent_client_has_so_much_time(silent: Callable[[float | None], object]) -> None:
    began = time.monotonic()

    with pytest.raises(TLSTimeout, match="handshake"):
        silent(0.2)

    assert 0.15 < time.monotonic() - began < 0.2 + PATIENCE_S


def test_close_ends_the_servers_wait(accept: Accept, configs: Configs) -> None:
    accepted: list[TLSSocket] = []
    is_there = threading.Event()

    def wait(tls: TLSSocket) -> None:
        accepted.append(tls)
        is_there.set()
        tls.settimeout(None)
        tls.recv(1)

    server = accept(wait)
    with connect(server.address, configs.client()):
        assert is_there.wait(20.0)
        began = time.monotonic()
        accepted[0].close()  # B84
        outcome = server.outcome()

    assert isinstance(outcome, SocketClosed)
    assert time.monotonic() - began < PATIENCE_S


# --- what does not fit --------------------------------------------------------------------------


def test_server_without_a_certificate_is_refused_before_the_socket_is_taken(
    configs: Configs,
) -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(ValueError, match="server_certificate"):
            schannel_ffi.wrap(near, config=configs.client(), server_side=True)
        with pytest.raises(ValueError, match="client's"):
            schannel_ffi.wrap(near, config=configs.server(), server_side=True, server_hostname=HOST)

        assert near.fileno() >= 0


def test_system_that_cannot_be_a_server_says_so(certificates: Certificates) -> None:
    if takes(certificates):
        pytest.skip("this system's Schannel takes the server's part")
    config = TLSConfig(server_certificate=server_certificate(certificates.good_rsa))
    near, far = socket.socketpair()
    with (
        near,
        far,
        in_thread(lambda: hello(far)),
        pytest.raises(HandshakeError, match="does not take the server's part"),
    ):
        schannel_ffi.wrap(near, config=config, server_side=True, timeout=20.0)


def hello(sock: socket.socket) -> None:
    """Be a client for as long as the server lets it."""
    config = TLSConfig(insecure_skip_verify=True)
    with sock.dup() as mine, contextlib.suppress(OSError):
        schannel_ffi.wrap(mine, config=config, timeout=20.0).close()
