"""The client against OpenSSL's own server program, which runs on the host.

For the whole of it, 1 GiB each way instead of 64 MiB (20 seconds for each version):

    SCHANNEL_EXCHANGE_MIB=1024 .lab/host-3.11/bin/python -m pytest tests/test_openssl_server.py
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the host's pytest runs this, beside the Windows Python", allow_module_level=True)

from certs import Certificates
from conversation import TLSConversation
from loopback import TLSServer
from programs import Program, WindowsPeer, openssl_server, windows_peer
from traffic import Stream

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab

MIB = 1 << 20
EXCHANGE_BYTES = int(os.environ.get("SCHANNEL_EXCHANGE_MIB", "64")) * MIB
SINGLE_BYTES = 20_000
MOST_GROWTH = 3 * MIB  # of the last three quarters; the heap takes about one MiB at a time
MEMORY_REPORTS = 16  # as in interop_peer.py
SLOWEST = MIB  # bytes a second, for the time limit

pytestmark = pytest.mark.timeout(900 + EXCHANGE_BYTES / SLOWEST)


@pytest.fixture(scope="module")
def windows() -> lab.Lab:
    return lab.ensure()


@pytest.fixture(scope="module")
def identity(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "identity.pem"
    path.write_bytes(certificates.good_rsa.key_pem + certificates.good_rsa.chain_pem)
    return path


@pytest.fixture(scope="module")
def anchor(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchor") / "anchor.pem"
    path.write_bytes(certificates.good_rsa.anchor_pem)
    return path


@pytest.fixture(params=["tls1_2", "tls1_3"])
def version(request: pytest.FixtureRequest) -> str:
    """The version, as an option of s_server without its dash."""
    return str(request.param)


def test_lines_go_both_ways_and_each_side_ends_cleanly(
    windows: lab.Lab, identity: Path, anchor: Path, version: str
) -> None:
    with (
        openssl_server(identity, f"-{version}") as (server, port),
        windows_peer(
            windows, tls13=version == "tls1_3", do="echo", port=port, anchor=anchor
        ) as client,
    ):
        opened = client.next_event("open")
        server.say(b"hello\n")
        server.wait_for(b"HELLO\n")
        server.say(b"bye\n")
        client.next_event("closed")
        server.wait_for(b"\nDONE\n")  # as s_server says it after a close_notify

    assert version == opened["version"].lower().replace("v", "").replace(".", "_")


def test_key_updates_of_both_kinds_lose_nothing(
    windows: lab.Lab, identity: Path, anchor: Path
) -> None:
    with (
        openssl_server(identity, "-tls1_3", "-msg") as (server, port),
        windows_peer(windows, tls13=True, do="echo", port=port, anchor=anchor) as client,
    ):
        client.next_event("open")
        for number, command in enumerate((b"K", b"k", b"K", b"K", b"k")):
            server.say(command + b"\n")
            server.wait_for(b">>> TLS 1.3, Handshake .*KeyUpdate", count=number + 1)
            server.say(b"after %d\n" % number)
            server.wait_for(b"AFTER %d\n" % number)
        server.say(b"bye\n")
        client.next_event("closed")

        answers = server.output.count(b"KeyUpdate") - 5
    assert 3 == answers  # to each that asked for one


def test_five_tickets_disturb_nothing(windows: lab.Lab, identity: Path, anchor: Path) -> None:
    with (
        openssl_server(identity, "-tls1_3", "-msg", "-num_tickets", "5") as (server, port),
        windows_peer(windows, tls13=True, do="echo", port=port, anchor=anchor) as client,
    ):
        server.say(b"hello\n")
        server.wait_for(b"HELLO\n")
        server.say(b"bye\n")
        client.next_event("closed")

        assert 5 == server.output.count(b"NewSessionTicket")


def test_renegotiation_is_refused_with_a_clear_error(
    windows: lab.Lab, identity: Path, anchor: Path
) -> None:
    with (
        openssl_server(identity, "-tls1_2") as (server, port),
        windows_peer(windows, tls13=False, do="echo", port=port, anchor=anchor) as client,
    ):
        server.say(b"hello\n")
        server.wait_for(b"HELLO\n")
        server.say(b"r\n")
        failure = client.next_event("failed")

    assert "renegotiat" in failure["text"]


def test_records_of_one_byte_lose_nothing(
    windows: lab.Lab,
    certificates: Certificates,
    anchor: Path,
    tls_server: Callable[..., TLSServer],
    version: str,
) -> None:
    spoken = ssl.TLSVersion[version.replace("tls", "TLSv")]
    server = tls_server(certificates.good_rsa, version=spoken, serve=single_bytes)
    job = {"do": "single_bytes", "size": SINGLE_BYTES, "seed_out": 1, "seed_in": 2}

    with windows_peer(
        windows, tls13=version == "tls1_3", port=server.address[1], anchor=anchor, **job
    ) as client:
        client.next_event("closed")

    assert SINGLE_BYTES == len(server.conversation().received)


def single_bytes(conversation: TLSConversation) -> None:
    """Take the client's stream, then send another in records of one byte."""
    arrived = Stream(1)
    while arrived.taken < SINGLE_BYTES:
        arrived.compare(conversation.read())
    for piece in Stream(2).pieces(SINGLE_BYTES):
        conversation.write(*(bytes(piece[at : at + 1]) for at in range(len(piece))))


def test_exchange_loses_nothing_and_memory_does_not_grow(
    windows: lab.Lab,
    identity: Path,
    anchor: Path,
    version: str,
    record_property: Callable[[str, object], None],
) -> None:
    arrived = Stream(1)
    options = (f"-{version}", "-quiet")
    job = {"do": "exchange", "size": EXCHANGE_BYTES, "seed_out": 1, "seed_in": 2}
    with (
        openssl_server(identity, *options, on_output=arrived.compare) as (server, port),
        windows_peer(windows, tls13=version == "tls1_3", port=port, anchor=anchor, **job) as client,
        feeding(server, Stream(2)),
    ):
        figures = list(memory_of(client))
        client.next_event("closed")
        assert 0 == server.wait()

    record_property("memory", figures)
    assert EXCHANGE_BYTES == arrived.taken
    for kind in figures[0]:
        over_time = [each[kind] for each in figures[len(figures) // 4 :]]
        assert max(over_time) - over_time[0] < MOST_GROWTH, (kind, over_time)


@contextlib.contextmanager
def feeding(server: Program, stream: Stream) -> Iterator[None]:
    """Give the server all that it has to send."""

    def feed() -> None:
        with contextlib.suppress(OSError):  # gone, which the test sees
            for piece in stream.pieces(EXCHANGE_BYTES):
                server.say(piece)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        server.process.kill()
        feeder.join()


def memory_of(client: WindowsPeer) -> Iterator[dict[str, int]]:
    """Yield its memory in bytes, by Windows' words and by Linux', as the exchange goes on."""
    for _ in range(MEMORY_REPORTS):
        event = client.next_event("memory", time_limit=60 + EXCHANGE_BYTES / SLOWEST)
        figures = {
            "working set": event["working_set"],
            "private bytes": event["private"],  # 0 under Wine 8
            "private in Linux": client.private_bytes(),
        }
        print(event["received"], "bytes each way;", figures, flush=True)
        yield figures
