"""The rows of `behaviours.md`: what Windows does, and which tests hold our answer to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "behaviours.md"
LAST_ROW = 103

# Who stands in for Windows, and what the lab's environment says to choose it.
FLOORS: dict[str, dict[str, str]] = {
    "no I/O": {},
    "scripted SSPI": {},
    "scripted system": {},
    "Wine 8": {},
    "Wine 8, TLS 1.3": {"SCHANNEL_LAB_TLS13": "1"},
    "Wine 10": {"SCHANNEL_LAB_WINE": "10"},
    "Wine 10, TLS 1.3": {"SCHANNEL_LAB_WINE": "10", "SCHANNEL_LAB_TLS13": "1"},
    "model": {},  # put in place by the tests themselves
    "model lane": {"SCHANNEL_LAB_MODEL": "1"},
    "model lane, TLS 1.3": {"SCHANNEL_LAB_MODEL": "1", "SCHANNEL_LAB_TLS13": "1"},
}


@dataclass(frozen=True)
class Behaviour:
    """One row: its number ("B58"), what Windows does, the floors that showed it, test ids."""

    row: str
    summary: str
    floors: tuple[str, ...]
    tests: tuple[str, ...]


def read() -> list[Behaviour]:
    """Return the rows in the order of the table."""
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if re.fullmatch(r"B\d+", cells[0]) and len(cells) == 4:
            row, summary, floors, tests = cells
            named = tuple(filter(None, (floor.strip() for floor in floors.split(";"))))
            found.append(Behaviour(row, summary, named, tuple(re.findall(r"`([^`]+)`", tests))))
    return found
