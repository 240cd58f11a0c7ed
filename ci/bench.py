"""Every figure beside its peers', measured in one run.

    python3 ci/bench.py [--json FILE] [--rounds N] [--seconds S] [--lane 1.2|1.3] [--only WORDS]

Bulk data in both directions against a bare C loop of EncryptMessage + send (the floor, with the
same batching), the same Python's `ssl`, and oscrypto; handshakes with verification against a bare
C loop of the same calls, and `ssl`; 4 KB mails against smtplib over ssl and against libcurl over
Schannel. Clients run in the lab's Windows Python, servers on the host's.

How it is measured. The candidates take turns (A B C, B C A, ...), each for about `--seconds` a
turn, so that what disturbs one disturbs all. A ratio is the median of the ratios within a
round; beside it stands the interval in which all of them lie. A single figure
says little, above all under Wine: compare within a run, never between runs. All parties use
the same protocol version and AES-256-GCM; every connection is checked byte by byte before it
is measured, every mail while it is.

`server` is the share of the time that the server's process was busy: near 100 % it would be the
limit for bulk data. `CPU us` is the client process' own CPU time per MB or mail over all turns
(the clock has ticks of some milliseconds); under Wine the Wine server's is not in it.

The floor is for the machine at hand; where it cannot be built, the run goes on without it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lab
import lab_host
from lab_store import FOLDER, LabError, recipe, run_quietly, say

BENCH = Path(__file__).resolve().parent / "bench"
TARGET_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "x86": "x86"}
KIB, MIB = 1024, 1024 * 1024
ANSWER_SECONDS = 180.0
BODY_BYTES = 4096


@dataclass(frozen=True)
class Test:
    """One figure and who is measured for it. `ours` is compared with all others."""

    title: str
    unit: str
    candidates: tuple[str, ...]
    order: dict[str, Any] = field(default_factory=dict)


BULK = ("floor", "ours", "ssl", "oscrypto")
BULK_TESTS = (
    Test("send, 64 KiB writes", "MB/s", BULK, {"way": "send", "chunk": 64 * KIB}),
    Test("send, 1 MiB writes", "MB/s", BULK, {"way": "send", "chunk": MIB}),
    Test("receive, recv(64 KiB)", "MB/s", BULK, {"way": "recv", "chunk": 64 * KIB}),
    Test("receive, recv_into(256 KiB)", "MB/s", BULK[:3], {"way": "recv_into", "chunk": 256 * KIB}),
)
HANDSHAKE_TESTS = (Test("handshakes, verified", "per s", ("floor", "ours", "ssl")),)
MAIL_TESTS = (Test("4 KB mails", "mails/s", ("ours", "ours over ssl", "smtplib", "pycurl")),)


@dataclass(frozen=True)
class Target:
    """What a ratio is to be: `ours` divided by the peer, in the tests whose title begins so."""

    title: str
    peer: str
    least: float


TARGETS = (
    Target("send", "floor", 0.95),
    Target("send", "ssl", 2.0),
    Target("send", "oscrypto", 8.0),
    Target("receive", "ssl", 2.0),
    Target("handshakes", "floor", 0.95),
    Target("handshakes", "ssl", 2.0),
    Target("4 KB mails", "smtplib", 1.5),
)


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and greatest of some values."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass
class Figures:
    """What the turns of one candidate in one test gave: a rate each, and what went with it."""

    rates: list[float] = field(default_factory=list)
    server_shares: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0  # of the client's process
    amount: float = 0.0  # MB or mails

    def add(self, amount: float, answer: dict[str, Any], server_seconds: float) -> None:
        """Add a turn: `amount` in MB or mails, the client's answer, the server's CPU seconds."""
        self.rates.append(amount / answer["seconds"])
        self.server_shares.append(server_seconds / answer["seconds"])
        self.cpu_seconds += answer["cpu"]
        self.amount += amount


Results = dict[str, dict[str, Figures]]  # test -> candidate -> figures


# --- programs that answer line by line -----------------------------------------------------------


class Helper:
    """A program beside this one that answers JSON lines with JSON lines."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
        self._process = process

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; waits for it.

        Raises:
            LabError: there is none, or not in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(ANSWER_SECONDS, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError as exc:
            raise LabError(f"{self._name} is gone: {exc}") from exc
        finally:
            alarm.cancel()
        if not answer:
            raise LabError(f"{self._name} ended without an answer to {question}")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed


@contextlib.contextmanager
def servers(windows: lab.Lab) -> Iterator[Helper]:
    """Start the servers on the host's Python."""
    command = [str(windows.host_python), str(BENCH / "servers.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Helper("the servers", process)
        finally:
            process.kill()


@contextlib.contextmanager
def client(windows: lab.Lab, script: str, *, lane: str) -> Iterator[Helper]:
    """Start a client in the Windows Python."""
    with windows.started(
        [BENCH / script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"CURL_SSL_BACKEND": "schannel"},
        tls13=lane == "1.3",
    ) as process:
        yield Helper(script, process)


def build_floor(windows: lab.Lab) -> Path | None:
    """Return the floor as a DLL, compiled anew when its source has changed.

    None on a Windows for which it cannot be compiled.
    """
    source = BENCH / "floor.c"
    machine = TARGET_MACHINES.get(platform.machine().lower())
    dll = FOLDER / "bench" / f"floor-{recipe(source, machine)[:16]}.dll"
    if dll.exists():
        return dll
    if machine is None:
        say(f"no floor: unknown machine {platform.machine()}")
        return None
    dll.parent.mkdir(exist_ok=True)
    command: list[str | Path] = [lab_host.zig(), "cc", "-target", f"{machine}-windows-gnu"]
    command += ["-O2", "-s", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared"]
    command += [source, "-lsecur32", "-lcrypt32", "-lws2_32", "-o", dll.with_suffix(".part")]
    try:
        run_quietly(
            command, what="compiling floor.c", env=lab_host.zig_environment(), cwd=dll.parent
        )
    except LabError as exc:
        if windows.is_wine:
            raise
        say(f"no floor: {exc}")
        return None
    return dll.with_suffix(".part").replace(dll)


# --- measuring ---------------------------------------------------------------------------------


def measure(
    tests: Sequence[Test], rounds: int, turn: Callable[[Test, str, Figures], None]
) -> Results:
    """Let the candidates of each test take turns, `rounds` times; each round another begins."""
    results: Results = {test.title: {who: Figures() for who in test.candidates} for test in tests}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for test in tests:
            first = number % len(test.candidates)
            for who in test.candidates[first:] + test.candidates[:first]:
                turn(test, who, results[test.title][who])
    return results


def measure_bulk(helper: Helper, server: Helper, tests: Sequence[Test], rounds: int) -> Results:
    """Measure the bulk tests; the server tells how busy it was."""

    def turn(test: Test, who: str, figures: Figures) -> None:
        before = server.ask({})["busy"]
        answer = helper.ask({"who": who, **test.order})
        busy = server.ask({})["busy"] - before
        figures.add(answer["bytes"] / 1e6, answer, busy)

    return measure(tests, rounds, turn)


def measure_handshakes(
    helper: Helper, server: Helper, tests: Sequence[Test], rounds: int
) -> Results:
    """Measure connections that are made, verified and closed again."""

    def turn(test: Test, who: str, figures: Figures) -> None:
        del test
        before = server.ask({})["cpu"]
        answer = helper.ask({"who": who})
        figures.add(answer["handshakes"], answer, server.ask({})["cpu"] - before)

    return measure(tests, rounds, turn)


def measure_mail(helper: Helper, server: Helper, tests: Sequence[Test], rounds: int) -> Results:
    """Measure the mail tests; the server counts what came, good and bad."""

    def turn(test: Test, who: str, figures: Figures) -> None:
        del test
        before = server.ask({})
        answer = helper.ask({"who": who})
        after = server.ask({})
        came = after["good"] - before["good"]
        if came != answer["messages"] or after["bad"]:
            raise LabError(f"{who}: {came} of {answer['messages']} mails came, {after['bad']} bad")
        figures.add(answer["messages"], answer, after["cpu"] - before["cpu"])

    return measure(tests, rounds, turn)


def available(tests: Sequence[Test], candidates: Sequence[str]) -> list[Test]:
    """Return the tests with those candidates only that are there."""
    return [
        replace(test, candidates=tuple(who for who in test.candidates if who in candidates))
        for test in tests
    ]


def run_lane(windows: lab.Lab, lane: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything with one protocol version; return what the JSON file says of it."""
    message = make_message()
    found: dict[str, Any] = {"lane": lane, "tests": [], "missing": {}, "versions": {}}
    kinds = (
        ("bulk_client.py", BULK_TESTS, measure_bulk),
        ("handshake_client.py", HANDSHAKE_TESTS, measure_handshakes),
        ("mail_client.py", MAIL_TESTS, measure_mail),
    )
    with ExitStack() as stack:
        server = stack.enter_context(servers(windows))
        facts = server.ask({"lane": lane, "message": message})
        floor = build_floor(windows)
        settings = {
            **facts,
            "lane": lane,
            "message": message,
            "floor": windows.windows_path(floor) if floor else None,
            "seconds": options.seconds,
        }
        for script, tests, measuring in kinds:
            wanted = [test for test in tests if options.only in test.title]
            if not wanted:
                continue
            with client(windows, script, lane=lane) as helper:
                about = helper.ask(settings)
                found["missing"].update(about["missing"])
                found["versions"].update(about["versions"])
                wanted = available(wanted, about["candidates"])
                results = measuring(helper, server, wanted, options.rounds)
                found["tests"] += [summary(test, results[test.title]) for test in wanted]
        state = server.ask({})
        if state["errors"]:
            raise LabError(f"the bulk server met {state['errors']}")
        found["cipher"] = state["cipher"]
    found["targets"] = judge(found["tests"])
    return found


def make_message() -> str:
    """Return a message with a body of 4 KB, some of whose lines begin with a dot."""
    line = "".join(chr(33 + number % 90) for number in range(62))
    lines = [("." if number % 16 == 0 else "") + line for number in range(BODY_BYTES // 64)]
    head = (
        "From: sender@example.com\r\nTo: recipient@example.com\r\nSubject: bench\r\n"
        "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <bench@example.com>\r\n\r\n"
    )
    return head + "\r\n".join(lines) + "\r\n"


# --- telling -----------------------------------------------------------------------------------


def summary(test: Test, figures: dict[str, Figures]) -> dict[str, Any]:
    """Return what the JSON file says of one test."""
    candidates = {}
    for who, own in figures.items():
        entry = {"rates": own.rates, **asdict(Spread.of(own.rates))}
        entry["server_share"] = statistics.median(own.server_shares)
        entry["cpu_us"] = own.cpu_seconds / own.amount * 1e6
        if who != "ours" and "ours" in figures:
            pairs = zip(figures["ours"].rates, own.rates, strict=True)
            entry["ours_to_it"] = asdict(Spread.of([ours / theirs for ours, theirs in pairs]))
        candidates[who] = entry
    return {"title": test.title, "unit": test.unit, "candidates": candidates}


def judge(tests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each target and each test that it is about whether it is met."""
    verdicts = []
    for target in TARGETS:
        for test in tests:
            peer = test["candidates"].get(target.peer)
            if test["title"].startswith(target.title) and peer and "ours_to_it" in peer:
                ratio = peer["ours_to_it"]["median"]
                verdicts.append(
                    {
                        "test": test["title"],
                        "peer": target.peer,
                        "least": target.least,
                        "ratio": ratio,
                        "is_met": ratio >= target.least,
                    }
                )
    return verdicts


def tell(found: dict[str, Any]) -> None:
    """Print the figures of one lane."""
    print(f"\nTLS {found['lane']}, {(found.get('cipher') or ['?'])[0]}")
    for name, reason in found["missing"].items():
        print(f"  not measured: {name} ({reason})")
    for test in found["tests"]:
        _tell_test(test)
    print("\n  targets")
    for verdict in found["targets"]:
        sign = "met" if verdict["is_met"] else "NOT MET"
        print(
            f"    {verdict['test']}: {verdict['ratio']:.2f} of {verdict['peer']},"
            f" at least {verdict['least']}: {sign}"
        )


def _tell_test(test: dict[str, Any]) -> None:
    print(
        f"\n  {test['title']:<30}{test['unit'] + ': min':>14} {'median':>8} {'max':>8}"
        f" {'spread':>7} {'CPU us':>7} {'server':>7}   ours to it (all turns)"
    )
    for who, entry in test["candidates"].items():
        spread = (entry["most"] - entry["least"]) / entry["median"]
        text = (
            f"    {who:<28}{entry['least']:>14.1f} {entry['median']:>8.1f} {entry['most']:>8.1f}"
            f" {spread:>7.0%} {entry['cpu_us']:>7.0f} {entry['server_share']:>7.0%}"
        )
        if ratio := entry.get("ours_to_it"):
            text += f"   {ratio['median']:.2f} ({ratio['least']:.2f} .. {ratio['most']:.2f})"
        print(text)


def about_machine(windows: lab.Lab) -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "cores": os.cpu_count(),
        "load_before": load,
        "is_wine": windows.is_wine,
        "platform": platform.platform(),
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each candidate (20)")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a turn (0.15)")
    parser.add_argument("--lane", choices=("1.2", "1.3"), help="one protocol version; else both")
    parser.add_argument("--only", default="", metavar="WORDS", help="tests whose title holds them")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds is 1 or more, --seconds more than 0")
    return options


def main() -> int:
    """Measure, tell, write; returns the exit status, which does not depend on the figures."""
    options = parse_arguments()
    lab.exit_on_sigterm()
    started = time.monotonic()
    try:
        windows = lab.ensure()
        machine = about_machine(windows)
        lanes = [options.lane] if options.lane else ["1.2", "1.3"]
        found = [run_lane(windows, lane, options) for lane in lanes]
    except LabError as exc:
        say(str(exc))
        return 1
    kind = "Wine" if machine["is_wine"] else "Windows"
    load = machine["load_before"]
    print(f"{kind}, {machine['cores']} cores, load before {load}, {options.rounds} turns each")
    for lane in found:
        tell(lane)
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "lanes": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
