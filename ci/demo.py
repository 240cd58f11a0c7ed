"""The main job on real input: `python3 ci/demo.py [--messages N] [--keep]`.

Begins with nothing: sets up the lab where it is missing, makes a certification authority, starts
two loopback SMTP servers (TLS from the first byte, and STARTTLS) and has the built package in the
Windows Python send 1,000 varied messages to them. Every message that arrives is compared byte by
byte with what must arrive, and its envelope too. The last line is "delivered N of N"; the exit
status is 0 only when that holds, nothing came twice, no server failed, and the sender loaded no
OpenSSL.

Windows and Linux run the same code; on Linux the sender is a Windows Python under Wine, the
servers are Python's own (OpenSSL) on the host.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lab
from demo_messages import SENDER, DemoMessage, messages
from lab_store import FOLDER, ROOT

sys.path.insert(0, str(ROOT / "tests"))

MESSAGES = 1000
TIME_LIMIT_SECONDS = 900.0
LEFTOVER_SECONDS = 86400.0
HOST = "127.0.0.1"
SHOWN_DIFFERENCES = 10

WAYS = {"tls": "TLS from the first byte", "starttls": "STARTTLS"}


class DemoError(Exception):
    """The demo cannot go on; the message says why in plain words."""


@dataclass
class Arrived:
    """What a server received, and how its connections were encrypted."""

    by_number: dict[int, list[Any]] = field(default_factory=dict)
    unknown: int = 0
    failures: int = 0
    handshakes: set[tuple[str, str]] = field(default_factory=set)

    def take(self, received: Any) -> None:
        """Keep a message under the number in its Message-ID."""
        _, found, rest = received.data.partition(b"\nMessage-ID: <demo-")
        if found:
            self.by_number.setdefault(int(rest[: rest.index(b"@")]), []).append(received)
        else:
            self.unknown += 1


def main() -> int:
    """Run the demo; the exit status says whether all was delivered."""
    options = _options()
    lab.exit_on_sigterm()
    try:
        windows = lab.ensure()
        _continue_in(windows.host_python)
        return _run(windows, options)
    except (lab.LabError, DemoError) as exc:
        print(f"demo: {exc}", file=sys.stderr)
    except subprocess.TimeoutExpired as exc:
        print(f"demo: the sender was not done after {exc.timeout:.0f} seconds", file=sys.stderr)
    except OSError as exc:
        print(f"demo: {exc.strerror or exc}: {exc.filename or FOLDER}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send varied messages and compare what arrives.")
    parser.add_argument("--messages", type=int, default=MESSAGES, metavar="N")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the messages")
    options = parser.parse_args()
    if options.messages < 1:
        parser.error("--messages is at least 1")
    return options


def _continue_in(python: Path) -> None:
    """Go on in the lab's virtual environment, which has what makes certificates."""
    if Path(sys.prefix).resolve() == python.parent.parent.resolve():
        return
    command = [str(python), str(Path(__file__).resolve()), *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)
    raise SystemExit(subprocess.run(command, check=False).returncode)


def _run(windows: lab.Lab, options: argparse.Namespace) -> int:
    with _folder(keep=options.keep) as folder:
        expected = _write_messages(folder, options.messages)
        with _servers(folder) as servers:
            report = _send(windows, folder, servers)
        for security, way in report["ways"].items():
            _print_way(security, way, servers[security][1])
        is_clean = _print_end(report)
        is_clean &= not any(taken.failures for _, taken in servers.values())
        arrived = {security: taken for security, (_, taken) in servers.items()}
        delivered = _compare(expected, arrived)
    print(f"delivered {delivered} of {options.messages}")
    return 0 if delivered == options.messages and is_clean and report["status"] == 0 else 1


@contextlib.contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """Yield a folder of the lab's for this run; remove what killed runs left a day ago."""
    for left in FOLDER.glob("demo-*"):
        if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=FOLDER))
    try:
        yield folder
    finally:
        if keep:
            print(f"the messages are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _write_messages(folder: Path, count: int) -> list[DemoMessage]:
    """Write the files to send; return what must arrive."""
    started = time.perf_counter()
    made = []
    for message in messages(count):
        (folder / _file_name(message)).write_bytes(message.file)
        made.append(message)
    size = sum(len(message.file) for message in made)
    kinds = {message.kind for message in made}
    print(
        f"made {count} messages of {len(kinds)} kinds, {size / 1e6:.1f} MB, "
        f"in {time.perf_counter() - started:.1f} s",
        flush=True,
    )
    return made


def _file_name(message: DemoMessage) -> str:
    return f"{message.number:06}.eml"


def _way_of(message: DemoMessage) -> str:
    return list(WAYS)[message.number % len(WAYS)]


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[dict[str, tuple[Any, Arrived]]]:
    """Start a server for each way, with certificates of a new authority."""
    import trustme  # only the lab's environment has it  # noqa: PLC0415

    # RSA: Wine 8 takes an ECDSA signature with a short r or s (1 in 128) for a bad one.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    identity = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    with contextlib.ExitStack() as stack:
        yield {security: stack.enter_context(_server(security, identity)) for security in WAYS}


@contextlib.contextmanager
def _server(security: str, identity: Any) -> Iterator[tuple[Any, Arrived]]:
    from smtp_server import SMTPServer  # tests/, on the path since the start  # noqa: PLC0415

    arrived = Arrived()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.configure_cert(context)
    context.sslsocket_class = _socket_class(arrived)
    with SMTPServer(
        HOST,
        security=security,
        tls=context,
        seconds=120.0,
        keeps_messages=False,
        on_message=arrived.take,
    ) as server:
        yield server, arrived
    arrived.failures = len(server.errors)
    for error in server.errors:
        print(f"demo: the server failed: {error!r}", file=sys.stderr)


def _socket_class(arrived: Arrived) -> type[ssl.SSLSocket]:
    class Observed(ssl.SSLSocket):
        """The server's own view of what was negotiated."""

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            super().do_handshake(block)
            cipher = self.cipher()
            arrived.handshakes.add((self.version() or "?", cipher[0] if cipher else "?"))

    return Observed


def _send(
    windows: lab.Lab, folder: Path, servers: dict[str, tuple[Any, Arrived]]
) -> dict[str, Any]:
    """Let the Windows Python send all files; return what it told, and its exit status."""
    names: dict[str, list[str]] = {security: [] for security in servers}
    for number, name in enumerate(sorted(path.name for path in folder.glob("*.eml"))):
        names[list(WAYS)[number % len(WAYS)]].append(name)
    job = {
        "folder": windows.windows_path(folder),
        "authority": windows.windows_path(folder / "authority.pem"),
        "ways": [
            {"host": HOST, "port": server.port, "security": security, "files": names[security]}
            for security, (server, _) in servers.items()
        ],
    }
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job), encoding="utf-8")
    script = Path(__file__).with_name("demo_sender.py")
    done = windows.python(
        [script, job_file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PYTHONUTF8": "1"},
        time_limit=TIME_LIMIT_SECONDS,
    )
    return _report(done)


def _report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    report: dict[str, Any] = {"status": done.returncode, "ways": {}, "end": None}
    for line in done.stdout.splitlines():
        event = _event(line)
        if event["event"] == "way":
            report["ways"][event["security"]] = event
        elif event["event"] == "end":
            report["end"] = event
        elif event["event"] == "refused":
            print(f"demo: {event['file']} was refused: {event['reply']}", file=sys.stderr)
    return report


def _event(line: str) -> dict[str, Any]:
    """Read what the sender told; show what it did not tell, such as words of Wine."""
    with contextlib.suppress(json.JSONDecodeError):
        event = json.loads(line)
        if isinstance(event, dict) and "event" in event:
            return event
    print(f"demo: on the sender's stdout: {line}", file=sys.stderr)
    return {"event": "none"}


def _print_way(security: str, way: dict[str, Any], arrived: Arrived) -> None:
    negotiated = " and ".join(f"{version}, {suite}" for version, suite in arrived.handshakes)
    seconds = way["seconds"]
    print(
        f"{WAYS[security]}: {negotiated}; {way['messages']} messages in {seconds:.1f} s, "
        f"{way['messages'] / seconds:.0f} messages/s, {way['bytes'] / 1e6 / seconds:.1f} MB/s",
        flush=True,
    )


def _print_end(report: dict[str, Any]) -> bool:
    """Print who sent; return whether it came to its end without OpenSSL."""
    end = report["end"]
    if end is None:
        print(f"demo: the sender ended early, exit status {report['status']}", file=sys.stderr)
        return False
    loaded = end["openssl_modules"]
    print(
        f"sender: Python {end['python']} for {end['platform']}; OpenSSL modules loaded: "
        f"{', '.join(loaded) or 'none'}"
    )
    return not loaded


def _compare(expected: list[DemoMessage], arrived: dict[str, Arrived]) -> int:
    """Return how many messages arrived once, whole, by their way, for exactly their people."""
    delivered = shown = 0
    for message in expected:
        problem = _problem(message, arrived)
        if problem is None:
            delivered += 1
        elif shown < SHOWN_DIFFERENCES:
            shown += 1
            print(f"demo: {_file_name(message)} ({message.kind}): {problem}", file=sys.stderr)
    unknown = sum(taken.unknown for taken in arrived.values())
    if unknown:
        print(f"demo: {unknown} messages arrived that nobody sent", file=sys.stderr)
        return min(delivered, len(expected) - 1)
    return delivered


def _problem(message: DemoMessage, arrived: dict[str, Arrived]) -> str | None:
    by_way = {way: taken.by_number.get(message.number, []) for way, taken in arrived.items()}
    copies = [copy for taken in by_way.values() for copy in taken]
    if len(copies) != 1 or not by_way[_way_of(message)]:
        return f"arrived {len(copies)} times, not once by {_way_of(message)}"
    received = copies[0]
    if not received.is_encrypted:
        return "arrived in plain text"
    if (received.sender, received.recipients) != (SENDER, message.recipients):
        return f"envelope {received.sender} -> {received.recipients}, not {message.recipients}"
    if received.data != message.arrives:
        return _first_difference(message.arrives, received.data)
    return None


def _first_difference(wanted: bytes, came: bytes) -> str:
    pairs = enumerate(zip(wanted, came, strict=False))
    at = next((index for index, (a, b) in pairs if a != b), min(len(wanted), len(came)))
    return (
        f"{len(came)} bytes arrived, {len(wanted)} were due; they differ at {at}: "
        f"{came[at : at + 20]!r}, not {wanted[at : at + 20]!r}"
    )


if __name__ == "__main__":
    sys.exit(main())
