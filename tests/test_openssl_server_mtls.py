"""A client certificate before OpenSSL's own server program, which runs on the host.

The certificate comes from a store, a PFX and PEM; what the server was given is read from what it
says. The stdlib's servers are asked in test_identity.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the host's pytest runs this, beside the Windows Python", allow_module_level=True)

from certs import Certificates, Identity, pfx
from cryptography.hazmat.primitives.serialization import Encoding
from programs import Program, WindowsPeer, openssl_server, windows_peer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab

pytestmark = pytest.mark.timeout(900)  # it may have to make the lab

CERTIFICATE_IS_REQUIRED = ("-Verify", "1", "-verify_return_error", "-msg")
SUBJECT = rb"\nsubject=CN ?= ?a mail client\n"  # the spaces went with OpenSSL 3.2

Present = Callable[[str, str], dict[str, Path]]
Mutual = Callable[..., AbstractContextManager[tuple[Program, WindowsPeer]]]


@pytest.fixture(scope="module")
def windows() -> lab.Lab:
    return lab.ensure()


@pytest.fixture(scope="module")
def files(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the server's identity, the anchor of all, an intermediate, and these two."""
    folder, own = tmp_path_factory.mktemp("server"), certificates.good_rsa
    intermediate = certificates.client_under_intermediate.chain[1].public_bytes(Encoding.PEM)
    (folder / "identity.pem").write_bytes(own.key_pem + own.chain_pem)
    (folder / "anchor.pem").write_bytes(own.anchor_pem)
    (folder / "intermediate.pem").write_bytes(intermediate)
    (folder / "authorities.pem").write_bytes(own.anchor_pem + intermediate)
    return folder


@pytest.fixture
def present(certificates: Certificates, tmp_path: Path) -> Present:
    """Write what a client presents to a file; return how a job names it."""

    def write(form: str, situation: str) -> dict[str, Path]:
        own: Identity = getattr(certificates, situation)
        file = tmp_path / f"client.{form}"
        file.write_bytes(pfx(own, None) if form == "pfx" else own.key_pem + own.chain_pem)
        return {form: file}

    return write


@pytest.fixture(params=["tls1_2", "tls1_3"])
def version(request: pytest.FixtureRequest) -> str:
    """The version, as an option of s_server without its dash."""
    return str(request.param)


@pytest.fixture
def mutual(windows: lab.Lab, files: Path, version: str) -> Mutual:
    """Start a server that demands a certificate, and a client that echoes and may have one."""

    @contextmanager
    def start(
        *trust: str | Path, own: dict[str, Path] | None = None
    ) -> Iterator[tuple[Program, WindowsPeer]]:
        options = (f"-{version}", *CERTIFICATE_IS_REQUIRED, *map(str, trust))
        job = {"do": "echo", "anchor": files / "anchor.pem", **(own or {})}
        with (
            openssl_server(files / "identity.pem", *options) as (server, port),
            windows_peer(windows, tls13=version == "tls1_3", port=port, **job) as client,
        ):
            try:
                yield server, client
            finally:  # then the client ends by itself, and leaves nothing in the stores
                server.process.kill()
                client.wait()

    return start


def talk(server: Program, client: WindowsPeer) -> None:
    """Send a line each way, and end both sides cleanly."""
    client.next_event("open")
    server.say(b"hello\n")
    server.wait_for(b"HELLO\n")
    server.say(b"bye\n")
    client.next_event("closed")
    server.wait_for(b"\nDONE\n")  # as s_server says it after a close_notify
    assert 0 == client.wait()


# --- accepted -----------------------------------------------------------------------------------

wine_keeps_rsa_alone = pytest.mark.xfail(
    strict=True,
    reason="Wine 8 and 10: CryptoAPI keeps RSA keys alone, and PFXImportCertStore gives no store "
    "for an EC key; Windows' CNG keeps both",
)
wine_gives_the_key_to_all = pytest.mark.xfail(
    strict=True,
    reason="Wine 8 and 10: PFXImportCertStore ties the private key to each certificate of the "
    "file, so that the client's cannot be told; Windows ties it to that one alone",
)
FORMS_AND_CERTIFICATES = [
    pytest.param("store", "client_rsa", id="store"),
    pytest.param("pfx", "client_rsa", id="pfx"),
    pytest.param("pem", "client_rsa", id="pem"),
    pytest.param("pfx", "client_ec", id="pfx_with_ec_key", marks=wine_keeps_rsa_alone),
    pytest.param("pem", "client_ec", id="pem_with_ec_key", marks=wine_keeps_rsa_alone),
    pytest.param("store", "client_under_intermediate", id="store_with_intermediate"),
    pytest.param("pem", "client_under_intermediate", id="pem_with_intermediate"),
    pytest.param(
        *("pfx", "client_under_intermediate"),
        id="pfx_with_intermediate",
        marks=wine_gives_the_key_to_all,
    ),
]


@pytest.mark.parametrize(("form", "situation"), FORMS_AND_CERTIFICATES)
def test_server_that_accepts_the_certificate_is_talked_to(
    mutual: Mutual,
    certificates: Certificates,
    files: Path,
    present: Present,
    form: str,
    situation: str,
) -> None:
    own = present(form, situation)

    with mutual("-CAfile", files / "authorities.pem", own=own) as (server, client):
        talk(server, client)

        server.wait_for(SUBJECT)
        assert getattr(certificates, situation).leaf_der in sent_by_client(server)


@pytest.mark.xfail(
    strict=True, reason="Wine 8 and 10: Schannel sends the leaf alone; Windows' looks into store CA"
)
def test_intermediate_that_is_in_a_store_is_sent(
    mutual: Mutual, certificates: Certificates, files: Path, present: Present
) -> None:
    own = {**present("store", "client_under_intermediate"), "issuer": files / "intermediate.pem"}

    with mutual("-CAfile", files / "authorities.pem", own=own) as (server, client):
        talk(server, client)

        _, intermediate = certificates.client_under_intermediate.chain
        assert intermediate.public_bytes(Encoding.DER) in sent_by_client(server)


@pytest.mark.parametrize("is_there", [True, False], ids=["in_a_store", "in_no_store"])
def test_intermediate_that_is_in_no_store_is_warned_about(
    mutual: Mutual, files: Path, present: Present, *, is_there: bool
) -> None:
    own = present("pem", "client_under_intermediate")
    if is_there:
        own["issuer"] = files / "intermediate.pem"

    with mutual("-CAfile", files / "authorities.pem", own=own) as (server, client):
        talk(server, client)  # B11: it is no more than a warning

    assert (0 if is_there else 1) == client.kinds.count("warning")


def sent_by_client(server: Program) -> bytes:
    """Return the client's message Certificate, out of what `-msg` shows of it."""
    pattern = rb"<<< TLS [\d.]+, Handshake .*, Certificate\n((?: {4}[ \da-f]+\n)+)"
    dump = re.search(pattern, server.output)
    assert dump
    return bytes.fromhex(dump[1].decode("ascii"))


# --- refused ------------------------------------------------------------------------------------

# What is presented; how the server knows its authorities; its alert, and what we say to it.
# With -CAfile it names them in its question, and GnuTLS keeps back what is of none of them.
TLS12_REFUSALS = {
    "none": ("", "-CAfile", "handshake_failure", 40, "requires a client certificate"),
    "stranger": ("unknown_ca_client", "-verifyCAfile", "unknown_ca", 48, "does not trust"),
    "expired": ("client_expired", "-CAfile", "certificate_expired", 45, "certificate has expired"),
}
TLS13_REFUSALS = {
    "none": ("", "-CAfile", "certificate_required"),
    "stranger": ("unknown_ca_client", "-verifyCAfile", "unknown_ca"),
    "expired": ("client_expired", "-CAfile", "certificate_expired"),
}


@pytest.mark.parametrize("version", ["tls1_2"], indirect=True)
@pytest.mark.parametrize("refusal", TLS12_REFUSALS)
def test_refusal_under_tls12_ends_the_handshake_and_is_told_by_its_alert(
    mutual: Mutual, files: Path, present: Present, refusal: str
) -> None:
    situation, option, alert, number, words = TLS12_REFUSALS[refusal]
    own = present("pem", situation) if situation else {}

    with mutual(option, files / "anchor.pem", own=own) as (server, client):
        failure = client.next_event("failed")
        assert 1 == client.wait()
        server.wait_for(rb">>> TLS 1.2, Alert .*, fatal %s\n" % alert.encode())

    assert ["failed"] == client.kinds
    assert ("PeerAlert", alert, number) == (failure["kind"], failure["symbol"], failure["alert"])
    assert words in failure["text"]


@pytest.mark.parametrize("version", ["tls1_3"], indirect=True)
@pytest.mark.parametrize("refusal", TLS13_REFUSALS)
def test_refusal_under_tls13_comes_with_the_first_read_and_names_the_client_certificate(
    mutual: Mutual, files: Path, present: Present, refusal: str
) -> None:
    situation, option, alert = TLS13_REFUSALS[refusal]
    own = present("pem", situation) if situation else {}

    with mutual(option, files / "anchor.pem", own=own) as (server, client):
        failure = client.next_event("failed")
        assert 1 == client.wait()
        server.wait_for(rb">>> TLS 1.3, Alert .*, fatal %s\n" % alert.encode())

    assert ["open", "failed"] == client.kinds
    assert "receiving: the peer seems to have refused" in failure["text"]  # B48
    assert "judges the client certificate" in failure["text"]
