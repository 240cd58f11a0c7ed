"""The command line against a real server: Postfix on the host, the sender in the Windows Python."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("Postfix runs on Linux; there the host's pytest runs this", allow_module_level=True)

from postfix import DOMAIN, HOST, Postfix, package

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab
from demo_messages import DemoMessage, messages

pytestmark = pytest.mark.timeout(900)  # the first run downloads Postfix and makes the lab

Run = Callable[..., "subprocess.CompletedProcess[str]"]

QUEUE_ID = re.compile(r"queue id ([0-9A-Za-z]+)")


@pytest.fixture(scope="module")
def windows() -> lab.Lab:
    return lab.ensure()


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with Postfix(package()) as server:
        yield server


@pytest.fixture
def command(windows: lab.Lab) -> Run:
    """Run the command line in the Windows Python."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return windows.python(
            ["-m", "schannel_ffi", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            time_limit=300,
        )

    return run


@pytest.fixture(scope="module")
def varied() -> list[DemoMessage]:
    """One message of each kind of the demo."""
    by_kind = {message.kind: message for message in messages(252)}
    return list(by_kind.values())


def place(server: Postfix, security: str) -> list[str]:
    port = server.tls_port if security == "tls" else server.starttls_port
    return ["--host", f"{HOST}:{port}", "--security", security, "--ca", str(server.authority)]


def write(folder: Path, varied: Sequence[DemoMessage]) -> None:
    for message in varied:
        (folder / f"{message.number}.eml").write_bytes(message.file)


def without_trace(delivered: bytes) -> bytes:
    """Return a delivered message without what Postfix puts before it, with its LF as CRLF."""
    at = delivered.index(b"\nFrom: ") + 1
    return delivered[at:].replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("security", "box"), [("tls", "a"), ("starttls", "b")])
def test_every_kind_of_message_arrives_as_it_was_sent(
    command: Run,
    postfix: Postfix,
    varied: list[DemoMessage],
    tmp_path: Path,
    security: str,
    box: str,
) -> None:
    write(tmp_path, varied)

    done = command(
        *("send", *place(postfix, security), "--from", "s@example.org"),
        *("--to", f"{box}@{DOMAIN}", "*.eml"),
        cwd=tmp_path,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert f"delivered {len(varied)} of {len(varied)}" in done.stdout
    delivered = postfix.mailbox(box, count=len(varied))
    wanted = sorted(message.arrives for message in varied)
    assert wanted == sorted(map(without_trace, delivered))


@pytest.mark.parametrize(("security", "box"), [("tls", "c"), ("starttls", "d")])
def test_delivery_is_encrypted_and_in_the_queue_under_the_id_that_is_told(
    command: Run,
    postfix: Postfix,
    tls_version: ssl.TLSVersion,
    tmp_path: Path,
    security: str,
    box: str,
) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: s@example.org\n\nhello\n")

    done = command("send", *place(postfix, security), "--to", f"{box}@{DOMAIN}", tmp_path / "m.eml")

    (delivered,) = postfix.mailbox(box, count=1)
    found = QUEUE_ID.search(done.stdout)
    assert found is not None
    assert f"with ESMTPS id {found[1]}".encode() in delivered
    assert b"(using %b with cipher" % tls_version.name.replace("_", ".").encode() in delivered


def test_refused_recipients_are_told_one_by_one_and_the_others_get_the_message(
    command: Run, postfix: Postfix, tmp_path: Path
) -> None:
    (tmp_path / "m.eml").write_bytes(
        b"From: s@example.org\nTo: e@example.test, full@example.test, nobody@example.test\n"
        b"Cc: far@away.example\n\nhello\n"
    )

    done = command("send", *place(postfix, "tls"), tmp_path / "m.eml")

    assert done.returncode == 1
    assert "delivered to 1 of 4 recipients, queue id" in done.stdout
    assert f"  e@{DOMAIN}: delivered: 250 2.0.0 Ok" in done.stdout
    assert f"  full@{DOMAIN}: refused for now: 452 4.2.2" in done.stdout
    assert f"  nobody@{DOMAIN}: refused permanently: 550 5.1.1" in done.stdout
    assert "  far@away.example: refused" in done.stdout
    assert len(postfix.mailbox("e", count=1)) == 1


def test_all_or_nothing_sends_to_nobody_when_one_is_refused(
    command: Run, postfix: Postfix, tmp_path: Path
) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: s@example.org\n\nhello\n")
    both = ["--to", f"f@{DOMAIN}", "--to", f"nobody@{DOMAIN}"]

    done = command("send", *place(postfix, "tls"), "--all-or-nothing", *both, tmp_path / "m.eml")
    after = command("send", *place(postfix, "tls"), *both[:2], tmp_path / "m.eml")

    assert (done.returncode, after.returncode) == (1, 0)
    assert "delivered 0 of 1, 1 refused" in done.stdout
    assert len(postfix.mailbox("f", count=1)) == 1  # the second alone, which came later


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_certificate_of_an_unknown_authority_is_refused_and_nothing_is_sent(
    command: Run, postfix: Postfix, tmp_path: Path, security: str
) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: s@example.org\n\nhello\n")
    without_ca = place(postfix, security)[:-2]

    done = command("send", *without_ca, "--to", f"g@{DOMAIN}", tmp_path / "m.eml")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "nothing was sent: TLS failed: the certificate of 127.0.0.1 was refused" in done.stderr
    assert "from=<s@example.org> to=<g@" not in postfix.log()


@pytest.mark.parametrize("way", ["--smtp", "--starttls=smtp"])
def test_probe_shows_what_postfix_offers(command: Run, postfix: Postfix, way: str) -> None:
    port = postfix.tls_port if way == "--smtp" else postfix.starttls_port

    done = command("probe", f"{HOST}:{port}", way, "--ca", postfix.authority)

    assert (done.returncode, done.stderr) == (0, "")
    assert "verification  passed" in done.stdout
    words = done.stdout.partition("\nEHLO\n")[2].split()
    assert {"PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "DSN"} <= set(words)
