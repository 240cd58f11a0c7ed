"""`ci/demo.py`, whose verdict must not depend on luck: what it makes of odd events."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).resolve().parent.parent / "ci"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(CI), *sys.path])
    return importlib.import_module("demo")


def test_lines_that_the_sender_did_not_tell_are_shown(
    demo: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = 'fixme: Wine\n{"event": "end", "python": "3"}\n[1]\n'

    report = demo._report(subprocess.CompletedProcess([], 0, out))

    assert {"event": "end", "python": "3"} == report["end"]
    assert [
        "demo: on the sender's stdout: fixme: Wine",
        "demo: on the sender's stdout: [1]",
    ] == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("failures", [0, 1])
def test_a_failure_of_a_server_is_a_failure_of_the_demo(
    demo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failures: int
) -> None:
    arrived = demo.Arrived()
    arrived.failures = failures
    report = {"status": 0, "ways": {}, "end": None}
    monkeypatch.setattr(demo, "_folder", lambda **_: nullcontext(tmp_path))
    monkeypatch.setattr(demo, "_write_messages", lambda *_: [])
    monkeypatch.setattr(demo, "_servers", lambda _: nullcontext({"tls": (None, arrived)}))
    monkeypatch.setattr(demo, "_send", lambda *_: report)
    monkeypatch.setattr(demo, "_print_end", lambda _: True)

    status = demo._run(None, argparse.Namespace(keep=False, messages=0))

    assert failures == status


def test_what_went_wrong_in_a_server_is_counted(
    demo: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Identity:
        def configure_cert(self, context: object) -> None:
            """Leave the context without a certificate."""

    with demo._server("tls", Identity()) as (server, arrived):
        server.errors.append(ValueError("odd"))

    assert 1 == arrived.failures
    assert "demo: the server failed: ValueError('odd')" in capsys.readouterr().err
