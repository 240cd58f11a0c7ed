"""The mutants of `mutants.txt`: one change of one line each, made to see a test fail.

B58 csrc/stream.c
- the old text, which must stand in the file just once; how it is laid out does not matter
+ the new text, any number of lines; none: the old text is taken out
= why it changes nothing that a caller can see (then it is not run)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "mutants.txt"
NEAR = 25  # lines between a row's number and the line that answers it


@dataclass
class Mutant:
    """One change, or the reason why a change would change nothing."""

    row: str
    file: str
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    reason: str = ""

    def __str__(self) -> str:
        """Return the row, the file and the first line that is changed."""
        return f"{self.row:5} {self.file}: {self.old[0].strip() if self.old else ''}"

    def _pattern(self) -> re.Pattern[str]:
        words = " ".join(self.old).split()
        return re.compile(r"\s+".join(map(re.escape, words)))

    def problem(self, root: Path) -> str:
        """Return why it does not fit the tree; "" when it does."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        places = [found.start() for found in self._pattern().finditer(text)]
        if not self.old or len(places) != 1:
            return f"{self}: the old text stands there {len(places)} times"
        line = text.count("\n", 0, places[0])
        near = "\n".join(text.splitlines()[max(0, line - NEAR) : line + NEAR])
        if not re.search(rf"\b{self.row}\b", near):
            return f"{self}: no line near it carries {self.row}"
        return ""

    def apply(self, root: Path) -> None:
        """Change the file of that tree."""
        path = root / self.file
        new = "\n".join(self.new)
        text = self._pattern().sub(lambda _: new, path.read_text(encoding="utf-8"), count=1)
        path.write_text(text, encoding="utf-8")


def read() -> Iterator[Mutant]:
    """Yield the mutants in the order of the file."""
    mutant: Mutant | None = None
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"(B\d+) (\S+)", line):
            if mutant is not None:
                yield mutant
            mutant = Mutant(head[1], head[2])
        elif mutant is not None and line[:2] == "- ":
            mutant.old.append(line[2:])
        elif mutant is not None and line[:2] == "+ ":
            mutant.new.append(line[2:])
        elif mutant is not None and line[:2] == "= ":
            mutant.reason = f"{mutant.reason} {line[2:]}".strip()
    if mutant is not None:
        yield mutant
