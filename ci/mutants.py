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
SECONDS_PER_RUN = 300.0
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

    def run(mutant: Mutant) -> bool:
        tree = copies.get()
        try:
            return _is_noticed(mutant, table[mutant.row], tree)
        finally:
            copies.put(tree)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run, wanted))
    return [mutant for mutant, is_noticed in zip(wanted, results, strict=True) if not is_noticed]


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


def _is_noticed(mutant: Mutant, behaviour: Behaviour, tree: Path) -> bool:
    original = (tree / mutant.file).read_bytes()
    mutant.apply(tree)
    try:
        noticed = any(_fails(behaviour, floor, tree) for floor in behaviour.floors)
    finally:
        (tree / mutant.file).write_bytes(original)
    print(f"{'noticed ' if noticed else 'SURVIVED'} {mutant}", flush=True)
    return noticed


def _fails(behaviour: Behaviour, floor: str, tree: Path) -> bool:
    """Tell whether the row's tests fail there; a build that fails is no answer."""
    tests = [f"tests/{test}" for test in behaviour.tests]
    command = [sys.executable, str(tree / "ci" / "lab.py")]
    env = {**os.environ, **FLOORS[floor], "SCHANNEL_LAB_TIME_LIMIT": str(int(SECONDS_PER_RUN))}
    built = subprocess.run(
        [*command, "setup"], env=env, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if built.returncode != 0:
        raise LabError(f"{behaviour.row} does not compile:\n{built.stdout.decode()}")
    run = subprocess.run(
        [*command, "pytest", "-q", "-x", *tests],
        env=env,
        cwd=tree,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if b"no tests ran" in run.stdout or b"not found" in run.stdout:
        raise LabError(f"the tests of {behaviour.row} were not found:\n{run.stdout.decode()}")
    return run.returncode != 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        say(str(error))
        sys.exit(1)
