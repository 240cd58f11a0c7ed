"""The engine compiled for this machine with AddressSanitizer and UBSan: the unit tests in C.

Each TEST of tests/native/unit_*.c is one test here, in a process of its own. The stand-ins for
SSPI and crypt32 abort on misuse, so a test fails when a rule of Windows is broken too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "ci"))

import fuzz  # noqa: E402  # ci/ is on the path only now
import native  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        sys.platform == "win32",
        reason="compiled for the host: run `python3 ci/native.py` on Linux",
    ),
    pytest.mark.timeout(600),  # the first one builds
]


def unit_tests() -> list[str]:
    """Return the names of all TESTs, as the C files have them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(native.NATIVE.glob("unit_*.c"))]
    return [name for text in texts for name in re.findall(r"^TEST\((\w+)\)", text, re.MULTILINE)]


@pytest.fixture(scope="module")
def program() -> Path:
    return native.build_unit_tests()


@pytest.mark.parametrize("name", unit_tests())
def test_unit(program: Path, name: str) -> None:
    done = native.run_unit_tests(program, [name])

    assert 0 == done.returncode, done.stdout


def test_every_c_file_is_compiled_for_the_host() -> None:
    compiled = set(native.c_sources())

    assert {path.name for path in (ROOT / "csrc").glob("*.c")} == compiled


def test_structs_of_the_stand_ins_are_laid_out_as_those_of_windows() -> None:
    build = native.Build(native.FOLDER_OF_BUILD / "unit", native.any_compiler(), ())

    build.compile([native.NATIVE / "layout.c"])  # its numbers hold for the headers of Windows too


@pytest.mark.parametrize("plant", fuzz.PLANTS, ids=lambda plant: plant.file)
def test_bugs_to_plant_stand_where_the_code_is(plant: fuzz.Plant) -> None:
    text = (native.CSRC / plant.file).read_text(encoding="utf-8")

    assert 1 == text.count(plant.old)
