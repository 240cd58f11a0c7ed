"""Our server against the clients that others wrote: OpenSSL's s_client and GnuTLS' gnutls-cli.

They run on the host, the server in the Windows Python under Wine 10 (root is needed, see
`python3 ci/lab.py`); the stdlib's clients and our own are in test_server_role.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the host's pytest runs this, beside the Windows Python", allow_module_level=True)

from certs import HOST, Certificates, Identity
from programs import HOST as ADDRESS
from programs import Program, WindowsPeer, windows_peer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab

pytestmark = [pytest.mark.wine_10, pytest.mark.timeout(900)]  # it may have to make the root

OLDEST_WINE = 10
BAD_CERTIFICATE, UNKNOWN_CA = 42, 48  # RFC 8446, 6
Serve = Callable[..., AbstractContextManager[tuple[WindowsPeer, int]]]


@pytest.fixture(scope="module")
def windows() -> lab.Lab:
    return lab.ensure(oldest_wine=OLDEST_WINE)


@pytest.fixture(scope="module")
def files(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the server's identity, its authority's certificate and another's."""
    folder, own = tmp_path_factory.mktemp("server"), certificates.server_role
    stranger: Identity = certificates.unknown_ca
    (folder / "identity.pem").write_bytes(own.key_pem + own.chain_pem)
    (folder / "anchor.pem").write_bytes(own.anchor_pem)
    (folder / "other.pem").write_bytes(stranger.anchor_pem)
    return folder


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(windows: lab.Lab, files: Path, version: str) -> Serve:
    """Start our server for some connections; yield it and its port."""

    @contextmanager
    def start(*, connections: int = 1) -> Iterator[tuple[WindowsPeer, int]]:
        job = {"identity": files / "identity.pem", "alpn": ["h2", "http/1.1"]}
        with windows_peer(
            windows, tls13=version == "TLSv1.3", do="serve", connections=connections, **job
        ) as server:
            yield server, server.next_event("listening")["port"]

    return start


def s_client(port: int, version: str, anchor: Path, *options: str) -> Program:
    return Program(
        *("openssl", "s_client", "-connect", f"{ADDRESS}:{port}", "-servername", HOST),
        *(f"-{version.lower().replace('v', '').replace('.', '_')}", "-CAfile", anchor),
        *("-verify_return_error", "-verify_hostname", HOST, *options),
    )


def gnutls_cli(port: int, version: str, anchor: Path, *options: str) -> Program:
    priority = f"NORMAL:-VERS-ALL:+VERS-{version.replace('v', '')}"
    return Program(
        *("gnutls-cli", "--priority", priority, "--x509cafile", anchor, "--port", str(port)),
        *("--sni-hostname", HOST, "--verify-hostname", HOST, *options, ADDRESS),
    )


# How each says that all is well, and which protocol was chosen.
CLIENTS = {
    "openssl": (s_client, ("-alpn", "http/1.1,h2"), b"Verify return code: 0", b"ALPN protocol: h2"),
    "gnutls": (
        gnutls_cli,
        ("--alpn", "http/1.1", "--alpn", "h2"),
        b"Handshake was completed",
        b"Application protocol: h2",
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client_verifies_agrees_talks_and_ends(
    serve: Serve, files: Path, version: str, client: str
) -> None:
    start, options, verified, chosen = CLIENTS[client]
    with (
        serve() as (server, port),
        start(port, version, files / "anchor.pem", *options) as program,
    ):
        program.wait_for(verified)
        program.wait_for(chosen)
        opened = server.next_event("open")
        program.say(b"hello\n")
        program.wait_for(b"HELLO")
        program.hang_up()
        server.next_event("closed")  # only a close_notify ends it so

    assert (version, "h2") == (opened["version"], opened["alpn"])


@pytest.mark.parametrize(
    ("client", "ends"),
    [
        ("openssl", [("PeerAlert", UNKNOWN_CA)]),
        # It closes with our flight unread: the reset may overtake its alert; and what an alert
        # that comes encrypted says (TLS 1.3), Wine does not pass on.
        (
            "gnutls",
            [("PeerAlert", BAD_CERTIFICATE), ("ConnectionReset", None), ("HandshakeError", None)],
        ),
    ],
    ids=["openssl", "gnutls"],
)
def test_client_that_does_not_trust_us_is_gone_as_it_said(
    serve: Serve, files: Path, version: str, client: str, ends: list[tuple[str, int | None]]
) -> None:
    start, *_ = CLIENTS[client]
    with serve() as (server, port), start(port, version, files / "other.pem") as program:
        failure = server.next_event("failed")
        assert 0 != program.wait()

    assert (failure["kind"], failure["alert"]) in ends


@pytest.mark.parametrize("client", CLIENTS)
def test_killed_client_is_a_truncation_and_the_next_is_served(
    serve: Serve, files: Path, version: str, client: str
) -> None:
    start, _, verified, _ = CLIENTS[client]
    with serve(connections=2) as (server, port):
        with start(port, version, files / "anchor.pem") as program:
            program.wait_for(verified)
            program.say(b"hello\n")
            program.wait_for(b"HELLO")
        failure = server.next_event("failed")
        with start(port, version, files / "anchor.pem") as program:
            program.wait_for(verified)
            program.hang_up()
            server.next_event("closed")

    assert failure["kind"] in ("TruncatedStream", "ConnectionReset")


@pytest.mark.parametrize("version", ["TLSv1.3"], indirect=True)
def test_clients_key_updates_lose_nothing(serve: Serve, files: Path, version: str) -> None:
    with (
        serve() as (server, port),
        s_client(port, version, files / "anchor.pem", "-msg") as client,
    ):
        server.next_event("open")
        for number, command in enumerate((b"K", b"k", b"K")):
            client.say(command + b"\n")
            client.wait_for(b">>> TLS 1.3, Handshake .*KeyUpdate", count=number + 1)
            client.say(b"after %d\n" % number)
            client.wait_for(b"AFTER %d\n" % number)
        client.say(b"Q\n")
        server.next_event("closed")


@pytest.mark.parametrize("version", ["TLSv1.2"], indirect=True)
def test_clients_renegotiation_is_refused(serve: Serve, files: Path, version: str) -> None:
    with serve() as (server, port), s_client(port, version, files / "anchor.pem") as client:
        server.next_event("open")
        client.say(b"R\n")
        failure = server.next_event("failed")

    assert "renegotiat" in failure["text"]


@pytest.mark.parametrize("version", ["TLSv1.2"], indirect=True)
def test_old_version_is_refused(serve: Serve, files: Path, version: str) -> None:
    weak = ("-cipher", "ALL:@SECLEVEL=0")
    with (
        serve() as (server, port),
        s_client(port, "TLSv1.1", files / "anchor.pem", *weak) as client,
    ):
        failure = server.next_event("failed")  # "open" is passed over, and would be a mistake
        client.wait()

    assert "HandshakeError" == failure["kind"]
