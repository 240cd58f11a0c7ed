"""`behaviours.md` is complete and true: every row has its lines, its floor and its tests.

Runs everywhere. Whether a test notices that its line is gone, `ci/mutants.py` shows.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from pathlib import Path

import behaviour_rows
import pytest
from behaviour_rows import FLOORS, LAST_ROW, Behaviour

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
MOST_ROWS_OF_A_TEST = 3

sys.path.insert(0, str(ROOT / "ci"))

import mutant_table  # noqa: E402

ROWS = behaviour_rows.read()
each_row = pytest.mark.parametrize("behaviour", ROWS, ids=lambda behaviour: behaviour.row)


@functools.cache
def numbers_in_the_code() -> frozenset[str]:
    """Return "B58" for comments that carry it."""
    paths = [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "schannel_ffi").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return frozenset(number for text in texts for number in re.findall(r"\bB\d+\b", text))


@functools.cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_stands_there_once_and_in_order() -> None:
    assert [f"B{number}" for number in range(1, LAST_ROW + 1)] == [b.row for b in ROWS]


@each_row
def test_row_has_floors_and_tests(behaviour: Behaviour) -> None:
    assert behaviour.summary
    assert behaviour.tests
    assert behaviour.floors
    assert not set(behaviour.floors) - set(FLOORS)


@each_row
def test_tests_of_the_row_are_there(behaviour: Behaviour) -> None:
    for test in behaviour.tests:
        file, _, function = test.partition("::")

        assert function in functions_of(file), test


@each_row
def test_row_is_carried_by_the_code(behaviour: Behaviour) -> None:
    assert behaviour.row in numbers_in_the_code()


@each_row
def test_row_has_a_mutant_that_fits(behaviour: Behaviour) -> None:
    own = [mutant for mutant in mutant_table.read() if mutant.row == behaviour.row]

    assert own
    assert [] == [mutant.problem(ROOT) for mutant in own if mutant.problem(ROOT)]


def test_no_number_in_the_code_without_a_row() -> None:
    assert set() == numbers_in_the_code() - {behaviour.row for behaviour in ROWS}


def test_no_test_holds_more_than_a_few_rows() -> None:
    held = Counter(test for behaviour in ROWS for test in behaviour.tests)

    assert [] == [test for test, rows in held.items() if rows > MOST_ROWS_OF_A_TEST]
