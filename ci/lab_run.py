"""Run a Windows program under Wine as if it were one of the host's.

What Wine 8 cannot do is done here:

* A regular file or a closed descriptor as stdin, stdout or stderr ends CPython at once
  (WinError 6). Such a descriptor gets a pipe and a thread that pumps; a terminal, pipe,
  socket or device is handed over as it is.
* A program that hangs makes every later one of its prefix hang. So each has a time limit,
  and all that it started ends with it: every process carries the name of its run in the
  environment, `SCHANNEL_LAB_RUN`, and is found by it.
* A run that was itself killed leaves its programs behind. Each run holds a lock on the file
  with its name in `.lab/runs`; a file without a lock is such a run, and is cleaned up by
  the next one. The file names its folder, so that nothing is ended from a copy of `.lab`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from lab_store import FOLDER

RUNS = FOLDER / "runs"
MARK = "SCHANNEL_LAB_RUN"
GRACE_SECONDS = 10.0
PUMP_BYTES = 65536

Stdio = int | IO[Any] | None


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    stdin: Stdio = None,
    stdout: Stdio = None,
    stderr: Stdio = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program and yield it; at the end of the block it and its children are gone.

    On a KeyboardInterrupt inside the block the program gets a Ctrl-C and some seconds to
    end by itself.

    Args:
        stdin, stdout, stderr: as subprocess.Popen takes them; regular files and closed
            descriptors are pumped, and complete when the block has ended.
    """
    clean_up_after_killed_runs()
    own_session = not any(os.isatty(fd) for fd in (0, 1, 2) if _is_open(fd))
    with _locked_run() as run, _Plumbing(stdin, stdout, stderr) as pipes:
        process = subprocess.Popen(
            command,
            env={**env, MARK: run},
            cwd=cwd,
            stdin=pipes.stdin,
            stdout=pipes.stdout,
            stderr=pipes.stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=own_session,
        )
        try:
            pipes.start()
            yield process
        except KeyboardInterrupt:
            _interrupt(process, own_session=own_session)
            raise
        finally:
            _end(process, run)


def _interrupt(process: subprocess.Popen[str], *, own_session: bool) -> None:
    """Let a Ctrl-C reach the program, and wait a while for its end.

    A program in our own session has had it from the terminal.
    """
    if own_session:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)


def _end(process: subprocess.Popen[str], run: str) -> None:
    """End the program and all that it started, in whatever state they are."""
    kill_run(run)
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


class _Plumbing:
    """The three streams as the program gets them, and pumps for those Wine cannot use.

    The caller's streams are looked at on entry; `start()` comes after the program has been
    started; leaving the block waits until the output has been written.
    """

    def __init__(self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> None:
        self._of_program: list[int] = []
        self._inward: list[tuple[int, int]] = []
        self._outward: list[tuple[int, int]] = []
        self._pumps: list[threading.Thread] = []
        self._program_ended = threading.Event()
        self.stdin = self._reader(stdin)
        self.stdout = self._writer(stdout, 1)
        if _go_to_one_file(stdout, stderr):  # through one pipe, so that their order is kept
            self.stderr: Stdio = subprocess.STDOUT
        else:
            self.stderr = self._writer(stderr, 2)

    def __enter__(self) -> _Plumbing:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_ends_of_program()
        self._program_ended.set()
        for pump in self._pumps:
            pump.join()

    def _reader(self, stream: Stdio) -> Stdio:
        """Return what to give the program as its stdin."""
        source = _descriptor(stream, 0)
        if source is None:
            return stream
        if not _is_open(source):
            return subprocess.DEVNULL
        if not _is_regular_file(source):
            return source
        read_end, write_end = os.pipe()
        self._of_program.append(read_end)
        self._inward.append((source, write_end))
        return read_end

    def _writer(self, stream: Stdio, inherited: int) -> Stdio:
        """Return what to give the program as its stdout or stderr."""
        sink = _descriptor(stream, inherited)
        if sink is None:
            return stream
        if not _is_open(sink):
            return subprocess.DEVNULL
        if not _is_regular_file(sink):
            return sink
        read_end, write_end = os.pipe()
        self._of_program.append(write_end)
        self._outward.append((read_end, sink))
        return write_end

    def start(self) -> None:
        """Start a thread for each pipe."""
        self._close_ends_of_program()
        for source, sink in self._inward:
            threading.Thread(target=_pump_in, args=(source, sink), daemon=True).start()
        for source, sink in self._outward:
            arguments = (source, sink, self._program_ended)
            self._pumps.append(threading.Thread(target=_pump_out, args=arguments, daemon=True))
            self._pumps[-1].start()

    def _close_ends_of_program(self) -> None:
        """Close our copies of the program's ends, so that each end of file is seen."""
        while self._of_program:
            os.close(self._of_program.pop())


def _pump_in(source: int, sink: int) -> None:
    """Copy a file into the program's stdin; it need not read all of it."""
    with contextlib.suppress(OSError):
        while data := os.read(source, PUMP_BYTES):
            _write_all(sink, data)
    os.close(sink)


def _pump_out(source: int, sink: int, ended: threading.Event) -> None:
    """Copy the program's output into a file until its end.

    A background process may hold the pipe open for ever: once the program itself has
    ended, an empty pipe counts as its end.
    """
    with contextlib.suppress(OSError):
        while True:
            was_over = ended.is_set()
            readable, _, _ = select.select([source], [], [], 0.1)
            if readable:
                data = os.read(source, PUMP_BYTES)
                if not data:
                    break
                _write_all(sink, data)
            elif was_over:
                break
    os.close(source)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _descriptor(stream: Stdio, inherited: int) -> int | None:
    """Return the descriptor behind a stream; None for subprocess' own constants."""
    if stream is None:
        return inherited
    if isinstance(stream, int):
        return stream if stream >= 0 else None
    return stream.fileno()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _is_regular_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _go_to_one_file(stdout: Stdio, stderr: Stdio) -> bool:
    first, second = _descriptor(stdout, 1), _descriptor(stderr, 2)
    if first is None or second is None or not (_is_open(first) and _is_open(second)):
        return False
    return _is_regular_file(first) and os.path.sameopenfile(first, second)


@contextlib.contextmanager
def _locked_run() -> Iterator[str]:
    """Yield a name for a run; hold its file, as the sign that somebody looks after it."""
    name = uuid.uuid4().hex
    RUNS.mkdir(exist_ok=True)
    with open(RUNS / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(RUNS))
        file.flush()
        try:
            yield name
        finally:
            (RUNS / name).unlink(missing_ok=True)


@contextlib.contextmanager
def set_up() -> Iterator[None]:
    """Make what a set-up starts (pip, the compiler) a run too.

    If this process is killed, the next one must not work beside its orphans.
    """
    clean_up_after_killed_runs()
    with _locked_run() as name:
        os.environ[MARK] = name
        try:
            yield
        finally:
            del os.environ[MARK]


def clean_up_after_killed_runs() -> None:
    """Kill the programs of runs that ended without doing so themselves."""
    RUNS.mkdir(exist_ok=True)
    for path in RUNS.iterdir():
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read() == str(RUNS):
                kill_run(path.name)
            path.unlink(missing_ok=True)


def kill_run(name: str) -> None:
    """Kill all processes of a run; waits up to a second until the kernel has done so."""
    mark = f"{MARK}={name}".encode()
    for _ in range(20):
        alive = [pid for pid in _processes() if mark in _environment_of(pid)]
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _environment_of(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []
