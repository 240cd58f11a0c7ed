"""TLS programs of the host as peers (OpenSSL's, GnuTLS'), and the peer in the Windows Python.

A `Program` collects what a process says, so that a test can wait for words of it. Every wait has a
deadline, and at the end of the `with` block the process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "ci"))

import lab  # noqa: E402
import lab_apt  # noqa: E402

HOST = "127.0.0.1"
TIME_LIMIT_S = 60.0
DEBIAN_PACKAGES = {"openssl": "openssl", "gnutls-cli": "gnutls-bin"}
LISTENING = "0A"  # in /proc/net/tcp

IN_WINDOWS = Path(__file__).with_name("interop_peer.py")


class Program:
    """A running program of the host; a context manager.

    on_output: gets what it says, instead of `output`; what it raises is raised by `wait`.
    """

    def __init__(
        self,
        name: str,
        *arguments: str | Path,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        if shutil.which(name) is None:
            lab_apt.install([DEBIAN_PACKAGES[name]], what=name)
        command = [name, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._output = bytearray()
        self._changed = threading.Condition()
        self._has_ended = False
        self._take = on_output or self._keep
        self._error: BaseException | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    @property
    def output(self) -> bytes:
        """What it has said so far, on stdout and stderr."""
        with self._changed:
            return bytes(self._output)

    def say(self, data: bytes | memoryview) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def hang_up(self) -> None:
        """End its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait_for(self, pattern: bytes, *, count: int = 1) -> None:
        """Wait until the words of a regular expression have come `count` times."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: self._has_ended or len(re.findall(pattern, self._output)) >= count,
                TIME_LIMIT_S,
            )
            said = bytes(self._output)
        assert found, (
            f"not within {TIME_LIMIT_S} s: {pattern!r} in\n{said.decode(errors='replace')}"
        )
        came = len(re.findall(pattern, said))
        assert came >= count, f"{came} times {pattern!r} in\n{said.decode(errors='replace')}"

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        status = self.process.wait(TIME_LIMIT_S)
        self._reader.join(TIME_LIMIT_S)
        if self._error:
            raise self._error
        return status

    def _keep(self, data: bytes) -> None:
        with self._changed:
            self._output += data
            self._changed.notify_all()

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while data := os.read(self.process.stdout.fileno(), 65536):
                self._take(data)
        except BaseException as error:  # noqa: BLE001 - raised by wait()
            self._error = error
            self.process.kill()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_listening(process: subprocess.Popen[Any], port: int) -> None:
    """Wait until a server listens, without connecting to it."""
    wanted = re.compile(rf":{port:04X} [0-9A-F]+:0000 {LISTENING} ")
    deadline = time.monotonic() + TIME_LIMIT_S
    while not wanted.search(Path("/proc/net/tcp").read_text()):
        assert process.poll() is None, "the server ended before it listened"
        assert time.monotonic() < deadline, "the server does not listen"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)


@contextlib.contextmanager
def openssl_server(
    identity: Path, *options: str, on_output: Callable[[bytes], None] | None = None
) -> Iterator[tuple[Program, int]]:
    """Run `openssl s_server` for one connection; yield it and its port.

    identity: PEM file with the private key and the certificate chain.
    """
    port = free_port()
    chain = ("-cert", identity, "-key", identity, "-cert_chain", identity)
    address = ("-accept", f"{HOST}:{port}", "-naccept", "1")
    arguments: list[str | Path] = ["s_server", *address, *chain, *options]
    with Program("openssl", *arguments, on_output=on_output) as server:
        wait_until_listening(server.process, port)
        yield server, port


class WindowsPeer:
    """`interop_peer.py` in the Windows Python; what it reports comes from `next_event`.

    Attributes:
        process: the program.
        kinds: of all events so far, in order.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.kinds: list[str] = []

    def next_event(self, kind: str, *, time_limit: float = TIME_LIMIT_S) -> dict[str, Any]:
        """Wait for an event of this kind; what comes before it is passed over."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(time_limit, self.process.kill)
        watchdog.start()
        seen = []
        try:
            for line in self.process.stdout:
                seen.append(line)
                with contextlib.suppress(json.JSONDecodeError):
                    event: dict[str, Any] = json.loads(line)
                    self.kinds.append(event["event"])
                    if event["event"] == kind:
                        return event
        finally:
            watchdog.cancel()
        raise AssertionError(
            f"the Windows Python ended without {kind!r}, status {self.wait()}:\n{''.join(seen)}"
        )

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        return self.process.wait(TIME_LIMIT_S)

    def private_bytes(self) -> int:
        """Return what it has written to and shares with nobody, as Linux counts."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        kib = re.findall(r"^Private_Dirty: +(\d+) kB$", rollup, re.MULTILINE)
        return 1024 * sum(map(int, kib))


@contextlib.contextmanager
def windows_peer(windows: lab.Lab, *, tls13: bool, **job: Any) -> Iterator[WindowsPeer]:
    """Start a job of `interop_peer.py`; paths in it are named as Windows sees them."""
    named = {
        name: windows.windows_path(value) if isinstance(value, Path) else value
        for name, value in job.items()
    }
    with windows.started(
        [IN_WINDOWS, json.dumps(named)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        tls13=tls13,
    ) as process:
        yield WindowsPeer(process)
