"""The example in plain C, built for Windows, sends a mail; from the host, as it needs no Python."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the host's pytest cross-builds the example", allow_module_level=True)

import trustme
from portable_executable import SEARCH_SYSTEM32, PortableExecutable
from smtp_server import ReceivedMessage, SMTPServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab
import lab_build
from lab_store import FOLDER

pytestmark = pytest.mark.timeout(600)  # the first run makes the lab

MESSAGE = b"Subject: plain C\n\n.a line that starts with a dot\nno line end"


@pytest.fixture(scope="module")
def smtps() -> list[str]:
    """Build the example; return the beginning of its command line."""
    windows = lab.ensure()
    program = FOLDER / "build" / "smtps.exe"
    lab_build.build_program("csrc/examples/smtps.c", program)
    return windows.program_command(program)


def run(smtps: list[str], server: SMTPServer, anchor: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*smtps, "localhost", str(server.port), "a@b.example", "c@d.example", str(anchor)],
        input=MESSAGE,
        capture_output=True,
        env=lab.ensure().environment(),
        timeout=60,
        check=False,
    )


def server_for(name: str, anchor: Path) -> SMTPServer:
    """Return a server with a certificate for `name`, after writing its authority's to `anchor`."""
    # RSA: Wine 8 takes an ECDSA signature with a short r or s (1 in 128) for a bad one.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    anchor.write_bytes(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return SMTPServer(security="tls", tls=context)


def test_example_takes_its_dlls_from_system32_alone(smtps: list[str]) -> None:
    built = PortableExecutable(FOLDER / "build" / "smtps.exe")  # B96

    assert SEARCH_SYSTEM32 == built.dependent_load_flags()
    assert "secur32.dll" in built.imported_dlls()


def test_example_delivers_the_message_as_it_is(smtps: list[str], tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.der"
    with server_for("localhost", anchor) as server:
        done = run(smtps, server, anchor)
        received: list[ReceivedMessage] = server.messages

    assert (0, b"") == (done.returncode, done.stdout)
    assert [MESSAGE.replace(b"\n", b"\r\n") + b"\r\n"] == [message.data for message in received]


def test_example_sends_nothing_to_a_server_that_is_not_the_host(
    smtps: list[str], tmp_path: Path
) -> None:
    anchor = tmp_path / "anchor.der"
    with server_for("other.test", anchor) as server:
        done = run(smtps, server, anchor)
        commands = list(server.commands)

    assert 1 == done.returncode
    assert b"CERT_E_CN_NO_MATCH" in done.stderr
    assert [] == commands
