"""Many connections: open at once, and made and closed by many threads; does anything grow?

    python3 ci/stress.py [--connections 1000] [--threads 16] [--seconds 120] [--tls13]

Clients run in the lab's Windows Python over Windows' own Schannel; the server on the host. What
Windows gives out is counted and compared with what it got back, by kind. Open handles and
memory of the process are sampled: when it is at rest, with all connections open, and all along
the time that the threads work. The exit status is 0 when nothing was left and nothing grew.

What an open connection holds is told twice: between two calls, where it may keep large buffers,
and idle, when somebody has waited for data in vain. Counted is the heap of the C runtime; it has
the library's allocations and Python's larger ones, under Wine without, on Windows with Schannel's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lab
from lab_store import ROOT, LabError, say

CLIENT = ROOT / "ci" / "stress" / "client.py"
SERVER = ROOT / "ci" / "stress" / "server.py"
MOST_HANDLE_GROWTH = 16  # of thousands of connections: a leak would be hundreds
MOST_MEMORY_GROWTH = 0.10

Sample = dict[str, Any]


def main() -> int:
    """Run it, tell what was found; returns the exit status."""
    options = parse_arguments()
    lab.exit_on_sigterm()
    try:
        samples, found = run(lab.ensure(), options)
    except LabError as error:
        say(str(error))
        return 1
    problems = [*found["problems"], *growth(samples)]
    tell(samples, found)
    tell_heap(samples, options.connections)
    print(*problems, sep="\n", end="\n" if problems else "")
    print("nothing was left and nothing grew" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=1000, help="open at once (1000)")
    parser.add_argument("--threads", type=int, default=16, help="that connect and close (16)")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long they do so (120)")
    parser.add_argument("--tls13", action="store_true", help="TLS 1.3 instead of 1.2")
    return parser.parse_args()


def run(windows: lab.Lab, options: argparse.Namespace) -> tuple[list[Sample], dict[str, Any]]:
    """Return the samples, and what the client found."""
    samples: list[Sample] = []
    with ExitStack() as stack:
        facts = stack.enter_context(server(windows, tls13=options.tls13))
        process = stack.enter_context(
            windows.started(
                [CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, tls13=options.tls13
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**facts, **vars(options)}) + "\n")
        process.stdin.close()
        for line in process.stdout:
            found: dict[str, Any] = json.loads(line)
            if "mark" not in found:
                return samples, found
            samples.append({**found, **seen_by_linux()})
    raise LabError("the client ended before it had told what it found")


def seen_by_linux() -> Sample:
    """Return the client's open files and memory as Linux counts them; nothing on Windows.

    Wine tells a handle count and private bytes of 0.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if bytes(CLIENT) in (process / "cmdline").read_bytes():
                rollup = (process / "smaps_rollup").read_text(encoding="ascii")
                kib = sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE)))
                return {"handles": len(list((process / "fd").iterdir())), "private": kib * 1024}
    return {}


@contextlib.contextmanager
def server(windows: lab.Lab, *, tls13: bool) -> Iterator[dict[str, Any]]:
    """Start the echo server on the host's Python; yields its port and its authority."""
    command = [str(windows.host_python), str(SERVER), "1.3" if tls13 else "1.2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def growth(samples: Sequence[Sample]) -> list[str]:
    """Return what grew between the middle and the end of the time that the threads worked."""
    working = [sample for sample in samples if sample["mark"].endswith(" s")]
    third = len(working) // 3  # the first third is warm-up
    middle, end = working[third : 2 * third], working[2 * third :]
    if not middle:
        return ["the time was too short to see growth"]
    found = []
    for name, most in (("handles", 0.0), ("working set", MOST_MEMORY_GROWTH)):
        before = statistics.median(sample[name] for sample in middle)
        after = statistics.median(sample[name] for sample in end)
        if after > before * (1 + most) + MOST_HANDLE_GROWTH:
            found.append(f"{name} grew from {before:.0f} to {after:.0f}")
    return found


def tell(samples: Sequence[Sample], found: dict[str, Any]) -> None:
    """Print the figures."""
    mib = 1024 * 1024
    for sample in samples:
        print(
            f"{sample['mark']:>24}: {sample['handles']} open files, {sample['threads']} threads,"
            f" {sample['working set'] / mib:.1f} MiB working set,"
            f" {sample['private'] / mib:.1f} private"
        )
    print(
        f"{found['visits']} connections made and closed by threads, {found['bytes']} bytes echoed"
    )
    for kind, (acquired, released) in sorted(found["counts"].items()):
        print(f"{kind:>24}: {acquired} acquired, {released} released")


def tell_heap(samples: Sequence[Sample], connections: int) -> None:
    """Print how much of the heap an open connection holds."""
    before, used, idle = (sample["heap"] for sample in samples if "heap" in sample)
    for state, heap in (("between calls", used), ("idle", idle)):
        print(f"{state:>24}: {(heap - before) / connections:.0f} bytes of heap a connection")


if __name__ == "__main__":
    sys.exit(main())
