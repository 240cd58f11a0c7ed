"""Fuzz the engine: libFuzzer with AddressSanitizer and UBSan over the targets of tests/native.

    python3 ci/fuzz.py --seconds 120      all targets side by side; a finding fails
    python3 ci/fuzz.py --runs 5000000     so many executions of each target
    python3 ci/fuzz.py --target records   one of them (may be given more than once)
    python3 ci/fuzz.py --plant            are three bugs found that are planted on purpose?
    python3 ci/fuzz.py --coverage         what the corpus reaches, per file of csrc
    python3 ci/fuzz.py --keep             and put what was new into the corpus, minimised

The corpus is tests/native/corpus/TARGET.bin: zlib over inputs, each behind its length (two bytes).
A finding's input stays in .lab/native/findings. Planted bugs are looked for without the corpus.
The last line is the total of executions, or the findings.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lab_apt
import native
from lab_store import LabError, remove, run_quietly, say

CORPUS = native.NATIVE / "corpus"
FINDINGS = native.FOLDER_OF_BUILD / "findings"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in native.NATIVE.glob("fuzz_*.c"))
MOST_INPUT_BYTES = 400
PLANT_SECONDS = 120
MOST_KEPT_BYTES = 40_000  # of a target's corpus, before it is compressed
SANITIZERS = {
    "ASAN_OPTIONS": "malloc_context_size=6:quarantine_size_mb=16:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@dataclass(frozen=True)
class Plant:
    """A bug: `old` in a file of csrc becomes `new`; this target has to find it."""

    name: str
    target: str
    file: str
    old: str
    new: str


PLANTS = [
    Plant(
        "a DER length is not compared with what is there",
        "names",
        "der.c",
        "if (size > rest->size - header) {",
        "if (size > rest->size - header + 1) {",
    ),
    Plant(
        "data beside a post-handshake message is dropped (B59)",
        "records",
        "record.c",
        "if (engine->plain_size > 0) { /* B59",
        "if (engine->plain_size > 9000) { /* B59",
    ),
    Plant(
        "EXTRA that is larger than the input is believed",
        "statuses",
        "record.c",
        "if (claimed > size || (claimed == 0 && engine->info.protocol == SCHAN_TLS_1_3)) {",
        "if (claimed == 0 && engine->info.protocol == SCHAN_TLS_1_3) {",
    ),
]


@dataclass(frozen=True)
class Outcome:
    """What came of running a target."""

    target: str
    executions: int
    seconds: float
    finding: str  # empty: none


def main(arguments: Sequence[str]) -> int:
    """Do what is asked for; returns the exit status."""
    asked = _parse(arguments)
    try:
        _ensure_tools()
        if asked.coverage:
            print(coverage_report(asked.target or TARGETS))
            return 0
        if asked.plant:
            return _plant_all()
        return _fuzz(asked)
    except LabError as error:
        print(error)
        return 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="how long, all side by side")
    parser.add_argument("--runs", type=int, help="executions of each target instead")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--plant", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args(arguments)


def _ensure_tools() -> None:
    """Raise LabError in plain words where libFuzzer cannot be had."""
    if sys.platform == "win32":
        message = "the fuzz targets are compiled for Linux: run this on Linux"
        raise LabError(message)
    if shutil.which("clang") is None:
        lab_apt.install(["clang", "llvm"], what="clang, which brings libFuzzer,")
    command = ["clang", "-print-file-name=libclang_rt.fuzzer-x86_64.a"]
    if not Path(run_quietly(command, what="asking clang for libFuzzer").strip()).is_absolute():
        version = run_quietly(["clang", "-dumpversion"], what="clang").split(".")[0]
        lab_apt.install([f"libclang-rt-{version}-dev"], what="libFuzzer (compiler-rt of clang)")


# ------------------------------------------------------------------------------------- building


def build(targets: Sequence[str], csrc: Path = native.CSRC, name: str = "fuzz") -> dict[str, Path]:
    """Build the targets; only csrc is instrumented for coverage, which doubles the speed."""
    folder = native.FOLDER_OF_BUILD / name
    build = native.Build(folder, "clang", ("-O2", *native.SANITIZERS), csrc)
    sources = [csrc / source for source in native.c_sources()]
    objects = build.compile(sources, "-fsanitize=fuzzer-no-link")
    objects += build.compile(native.stand_ins())
    programs = {}
    for target in targets:
        own = build.compile([native.NATIVE / f"fuzz_{target}.c"])
        programs[target] = build.link(folder / target, [*own, *objects], "-fsanitize=fuzzer")
    return programs


# -------------------------------------------------------------------------------------- running


def _fuzz(asked: argparse.Namespace) -> int:
    programs = build(asked.target or TARGETS)
    limit = [f"-runs={asked.runs}"] if asked.runs else [f"-max_total_time={asked.seconds}"]
    at_once = (os.cpu_count() or 1) if asked.runs else len(programs)
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [
            pool.submit(_run, target, program, limit, keep=asked.keep)
            for target, program in programs.items()
        ]
        outcomes = [job.result() for job in jobs]
    for outcome in outcomes:
        rate = outcome.executions / max(outcome.seconds, 0.1)
        print(f"{outcome.target:12}{outcome.executions:>12,} executions {rate:>9,.0f}/s")
    findings = [outcome for outcome in outcomes if outcome.finding]
    for outcome in findings:
        print(f"\nFINDING in {outcome.target}:\n{outcome.finding}")
    total = sum(outcome.executions for outcome in outcomes)
    print(f"{total:,} executions, {len(findings)} findings")
    return 1 if findings else 0


def _run(
    target: str,
    program: Path,
    limit: Sequence[str],
    *,
    keep: bool = False,
    from_nothing: bool = False,
) -> Outcome:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with unpacked("" if from_nothing else target) as corpus:
        command: list[str | Path] = [
            program,
            *limit,
            f"-max_len={MOST_INPUT_BYTES}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            f"-artifact_prefix={FINDINGS}/{target}-",
            corpus,
        ]
        started = time.monotonic()
        with subprocess.Popen(
            command,
            env={**os.environ, **SANITIZERS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            output = process.communicate()[1]
        seconds = time.monotonic() - started
        counted = re.search(r"stat::number_of_executed_units: (\d+)", output)
        finding = "" if process.returncode == 0 else _shorten(output)
        if keep and not finding:
            _keep(target, program, corpus)
    return Outcome(target, int(counted[1]) if counted else 0, seconds, finding)


def _shorten(output: str) -> str:
    """Return what the sanitizer said, without libFuzzer's progress."""
    lines = [line for line in output.splitlines() if not re.match(r"#\d+\t|\"|stat::", line)]
    return "\n".join(lines[-60:])


# --------------------------------------------------------------------------------------- corpus


@contextmanager
def unpacked(target: str) -> Iterator[Path]:
    """Yield a folder with the inputs of a target's corpus, gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as name:
        packed = CORPUS / f"{target}.bin"
        data = zlib.decompress(packed.read_bytes()) if packed.exists() else b""
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 2], "big")
            Path(name, f"{at:06}").write_bytes(data[at + 2 : at + 2 + size])
            at += 2 + size
        yield Path(name)


def _keep(target: str, program: Path, corpus: Path) -> None:
    """Put a minimised corpus in place of the one in the tree: the shortest inputs first."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-least-") as name:
        command: list[str | Path] = [program, "-merge=1", f"-max_len={MOST_INPUT_BYTES}"]
        environment = {**os.environ, **SANITIZERS}
        run_quietly([*command, name, corpus], what=f"merging {target}", env=environment)
        inputs = sorted(Path(name).iterdir(), key=lambda path: (path.stat().st_size, path.name))
        packed = b""
        for path in inputs:
            content = path.read_bytes()
            packed += len(content).to_bytes(2, "big") + content
            if len(packed) > MOST_KEPT_BYTES:
                break
    CORPUS.mkdir(exist_ok=True)
    compressed = zlib.compress(packed, 9)
    (CORPUS / f"{target}.bin").write_bytes(compressed)
    say(f"{target}: {len(inputs)} inputs, {len(compressed)} bytes")


# --------------------------------------------------------------------------------- planted bugs


def _plant_all() -> int:
    missed = 0
    for number, plant in enumerate(PLANTS):
        csrc = native.FOLDER_OF_BUILD / f"plant-{number}" / "csrc"
        remove(csrc.parent)
        shutil.copytree(native.CSRC, csrc)
        text = (csrc / plant.file).read_text(encoding="utf-8")
        if text.count(plant.old) != 1:
            raise LabError(f"{plant.file} has changed: where to plant {plant.name!r}?")
        (csrc / plant.file).write_text(text.replace(plant.old, plant.new), encoding="utf-8")
        programs = build([plant.target], csrc, f"plant-{number}")
        limit = [f"-max_total_time={PLANT_SECONDS}"]
        outcome = _run(plant.target, programs[plant.target], limit, from_nothing=True)
        missed += not outcome.finding
        verdict = f"found after {outcome.seconds:.0f} s" if outcome.finding else "NOT FOUND"
        said = re.search(r"misuse: .*|SUMMARY: .*", outcome.finding)
        print(f"{plant.name}: {verdict} by {plant.target}: {said[0] if said else ''}", flush=True)
    print(f"{len(PLANTS) - missed} of {len(PLANTS)} planted bugs found")
    return 1 if missed else 0


# ------------------------------------------------------------------------------------- coverage


def coverage_report(targets: Sequence[str]) -> str:
    """Return llvm-cov's table of what the corpus reaches, per file of csrc."""
    folder = native.FOLDER_OF_BUILD / "fuzz-coverage"
    instrument = ("-O1", "-fprofile-instr-generate", "-fcoverage-mapping")
    build = native.Build(folder, "clang", instrument)
    objects = build.compile([native.CSRC / name for name in native.c_sources()])
    objects += build.compile(native.stand_ins())
    programs = []
    for target in targets:
        own = build.compile([native.NATIVE / f"fuzz_{target}.c"])
        program = build.link(folder / target, [*own, *objects], "-fsanitize=fuzzer")
        programs.append(program)
        with unpacked(target) as corpus:
            environment = {**os.environ, "LLVM_PROFILE_FILE": f"{folder}/{target}.profraw"}
            run_quietly([program, "-runs=0", corpus], what=f"running {target}", env=environment)
    merged = folder / "all.profdata"
    raw = [folder / f"{target}.profraw" for target in targets]
    merge: list[str | Path] = ["llvm-profdata", "merge", "-o", merged, *raw]
    run_quietly(merge, what="llvm-profdata")
    report: list[str | Path] = ["llvm-cov", "report", programs[0], f"-instr-profile={merged}"]
    report += [f"-object={program}" for program in programs[1:]]
    report += [native.CSRC / name for name in native.c_sources()]
    return run_quietly(report, what="llvm-cov report")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
