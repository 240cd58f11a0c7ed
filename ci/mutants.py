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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lab
import lab_host
from lab_store import FOLDER, ROOT, LabError, remove, say

TABLE = ROOT / "ci" / "mutants.txt"
BEHAVIOURS = ROOT / "tests" / "behaviours.md"
COPIES = FOLDER / "mutants"
WORKERS = 2
SECONDS_PER_RUN = 300.0
OWN_PARTS = {"mutants", "lock", "runs", "reports", "build", f"host-{lab_host.MINOR}"}
NEAR = 25  # lines between a row's number and the line that answers it

# What a floor of behaviours.md needs in the environment.
FLOORS = {
    "scripted SSPI": {},
    "scripted system": {},
    "no I/O": {},
    "Wine 8": {},
    "Wine 8, TLS 1.3": {"SCHANNEL_LAB_TLS13": "1"},
    "Wine 10": {"SCHANNEL_LAB_WINE": "10"},
    "model": {"SCHANNEL_LAB_MODEL": "1"},
    "model, TLS 1.3": {"SCHANNEL_LAB_MODEL": "1", "SCHANNEL_LAB_TLS13": "1"},
}


@dataclass(frozen=True)
class Behaviour:
    """A row of behaviours.md."""

    row: str
    summary: str
    floors: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass
class Mutant:
    """One change of one file, or the reason why a change would change nothing."""

    row: str
    file: str
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    reason: str = ""

    def __str__(self) -> str:
        """Return the row, the file and the first line that is changed."""
        return f"{self.row:5} {self.file}: {self.old[0].strip() if self.old else ''}"

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the old text, however it is laid out."""
        words = " ".join(self.old).split()
        return re.compile(r"\s+".join(map(re.escape, words)))

    def problem(self) -> str:
        """Return why it does not fit the tree; "" when it does."""
        path = ROOT / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        places = [found.start() for found in self.pattern().finditer(text)]
        if len(places) != 1:
            return f"{self}: the old text stands there {len(places)} times"
        line = text.count("\n", 0, places[0])
        lines = text.splitlines()[max(0, line - NEAR) : line + NEAR]
        if not re.search(rf"\b{self.row}\b", "\n".join(lines)):
            return f"{self}: no line near it carries {self.row}"
        return ""

    def apply(self, tree: Path) -> None:
        """Change the file in a copy of the tree."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        new = "\n".join(self.new)
        path.write_text(self.pattern().sub(lambda _: new, text, count=1), encoding="utf-8")


def behaviours() -> dict[str, Behaviour]:
    """Return the rows of behaviours.md by their number."""
    found = {}
    for line in BEHAVIOURS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"B\d+", cells[0]) and len(cells) == 4:
            row, summary, floors, tests = cells
            found[row] = Behaviour(
                row,
                summary,
                tuple(floor.strip() for floor in floors.split(";") if floor.strip()),
                tuple(re.findall(r"`([^`]+)`", tests)),
            )
    return found


def mutants() -> Iterator[Mutant]:
    """Yield what ci/mutants.txt holds, in its order."""
    mutant: Mutant | None = None
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        head = re.fullmatch(r"(B\d+) (\S+)", line)
        if head:
            if mutant is not None:
                yield mutant
            mutant = Mutant(head[1], head[2])
        elif mutant is not None and line.startswith("- "):
            mutant.old.append(line[2:])
        elif mutant is not None and line.startswith("+ "):
            mutant.new.append(line[2:])
        elif mutant is not None and line.startswith("= "):
            mutant.reason = f"{mutant.reason} {line[2:]}".strip()
    if mutant is not None:
        yield mutant


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; returns the exit status."""
    rows = {argument for argument in arguments if not argument.startswith("-")}
    wanted = [mutant for mutant in mutants() if not rows or mutant.row in rows]
    problems = list(filter(None, (mutant.problem() for mutant in wanted)))
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
    table = behaviours()
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
