"""Break the lines that answer Windows' behaviours, one by one, and see a test fail each time.

    python3 ci/mutants.py               every mutant of ci/mutants.txt: some 20 minutes
    python3 ci/mutants.py B58 B64       those of these rows
    python3 ci/mutants.py --check       only see that each still fits the code (a second)

A mutant disables or inverts one line that carries a row's number (`B58`). It is made in a copy of
the tree; there the tests that `tests/behaviours.md` names for the row are run, on the floor it
names. A mutant that no test notices is a failure, unless `ci/mutants.txt` says why it changes
nothing. The last line is "N noticed, N survived, N change nothing".
"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lab
import lab_host
import mutant_table
from lab_store import FOLDER, ROOT, LabError, remove, say
from mutant_table import Mutant

sys.path.insert(0, str(ROOT / "tests"))

import behaviour_rows
from behaviour_rows import FLOORS, Behaviour

COPIES = FOLDER / "mutants"
WORKERS = 2
SECONDS_PER_RUN = 120
CRASHES = range(6, 256)  # exit statuses behind those of pytest itself
OWN_PARTS = {"mutants", "lock", "runs", "reports", "build", f"host-{lab_host.MINOR}"}


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; returns the exit status."""
    rows = {argument for argument in arguments if not argument.startswith("-")}
    wanted = [mutant for mutant in mutant_table.read() if not rows or mutant.row in rows]
    problems = list(filter(None, (mutant.problem(ROOT) for mutant in wanted)))
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems or "--check" in arguments:
        return 1 if problems else 0
    lab.ensure()
    harmless = [mutant for mutant in wanted if mutant.reason]
    survived = _run_all([mutant for mutant in wanted if not mutant.reason])
    for mutant in harmless:
        print(f"changes nothing: {mutant}: {mutant.reason}")
    noticed = len(wanted) - len(harmless) - len(survived)
    for mutant in survived:
        print(f"SURVIVED {mutant}")
    print(f"{noticed} noticed, {len(survived)} survived, {len(harmless)} change nothing")
    return 1 if survived else 0


def _run_all(wanted: Sequence[Mutant]) -> list[Mutant]:
    """Return the mutants that no test noticed."""
    table = {behaviour.row: behaviour for behaviour in behaviour_rows.read()}
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(min(WORKERS, len(wanted))):
        copies.put(_copy_of_the_tree(number))

    if not wanted:
        return []
    tree = copies.get()
    _see_that_all_is_well([table[row] for row in {mutant.row for mutant in wanted}], tree)
    copies.put(tree)

    def run(mutant: Mutant) -> str:
        tree = copies.get()
        try:
            return _verdict(mutant, table[mutant.row], tree)
        finally:
            copies.put(tree)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run, wanted))
    return [each for each, result in zip(wanted, results, strict=True) if result != "noticed"]


def _copy_of_the_tree(number: int) -> Path:
    """Copy what git knows; the copy has the lab's parts, and an extension of its own."""
    tree = COPIES / str(number)
    lab_of_copy = tree / ".lab"
    lab_of_copy.mkdir(parents=True, exist_ok=True)
    for old in tree.iterdir():
        if old != lab_of_copy:
            remove(old)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    for part in FOLDER.iterdir():
        if part.name not in OWN_PARTS and not (lab_of_copy / part.name).exists():
            (lab_of_copy / part.name).symlink_to(part)
    return tree


def _see_that_all_is_well(behaviours: Sequence[Behaviour], tree: Path) -> None:
    """Run the rows' tests once before anything is broken: one that fails anyway notices nothing."""
    for env in _environments(behaviours):
        here = [each for each in behaviours if env in _environments([each])]
        verdict = _run_tests(here, env, tree)
        if verdict != "SURVIVED":
            raise LabError(f"tests fail already {env or ''}: {verdict}")


def _verdict(mutant: Mutant, behaviour: Behaviour, tree: Path) -> str:
    """Return "noticed", "SURVIVED", or why there is no answer."""
    original = (tree / mutant.file).read_bytes()
    mutant.apply(tree)
    try:
        verdict = "SURVIVED"
        for env in _environments([behaviour]):
            verdict = _run_tests([behaviour], env, tree)
            if verdict != "SURVIVED":
                break
    finally:
        (tree / mutant.file).write_bytes(original)
    print(f"{verdict:8} {mutant}", flush=True)
    return verdict


def _environments(behaviours: Sequence[Behaviour]) -> list[dict[str, str]]:
    """Return each environment of the rows' floors once."""
    found: list[dict[str, str]] = []
    for floor in (floor for behaviour in behaviours for floor in behaviour.floors):
        if FLOORS[floor] not in found:
            found.append(FLOORS[floor])
    return found


def _run_tests(behaviours: Sequence[Behaviour], extra: dict[str, str], tree: Path) -> str:
    """Build, and run the rows' tests until one fails."""
    tests = dict.fromkeys(test for behaviour in behaviours for test in behaviour.tests)
    limit_s = SECONDS_PER_RUN * len(behaviours)
    run = subprocess.run(
        [
            *(sys.executable, tree / "ci" / "lab.py"),
            *("pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line"),
            *(f"tests/{test}" for test in tests),
        ],
        env={**os.environ, **extra, "SCHANNEL_LAB_TIME_LIMIT": str(limit_s)},
        cwd=tree,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if run.returncode in (lab.TIME_IS_UP, *CRASHES):
        return "noticed"
    outcome = re.search(rb"^.*\b(passed|failed|errors?)\b.* in [0-9.]+s", run.stdout, re.MULTILINE)
    if outcome is None or run.returncode > 1 or b"ERROR collecting" in run.stdout:
        tail = run.stdout.decode(errors="replace").splitlines()[-25:]
        return "\n".join(["BROKEN", *tail, "BROKEN  "])
    return "noticed" if run.returncode == 1 else "SURVIVED"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        say(str(error))
        sys.exit(1)
