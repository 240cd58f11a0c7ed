"""Fixtures: certificates, loopback servers, and clients that are closed when the test ends.

The lane: with SCHANNEL_LAB_TLS13=1 the servers speak TLS 1.3 and nothing else, otherwise TLS 1.2.
Tests marked `schannel` need Schannel, on Windows or under Wine; elsewhere they are skipped.
With SCHANNEL_LAB_MODEL the loopback tests run over a model of Schannel: see `model_lane`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

import model_lane
import pytest
from certs import Certificates, Identity
from clients import Connector
from conversation import Script
from loopback import RawServer, TLSServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "schannel: needs Schannel, so Windows or Wine")
    config.addinivalue_line("markers", "wine_10: needs Wine 10, which root alone may get made")
    config.addinivalue_line(
        "markers", "not_over_the_model(reason): not in the lanes that have a model of Schannel"
    )
    # A shell starts background jobs with SIGINT ignored, and Python leaves it so; some tests
    # press Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if model_lane.windows_of_lane() is not None:
        config.hook.pytest_deselected(items=model_lane.select(items))
    if sys.platform == "win32":
        return
    skip = pytest.mark.skip(reason="Schannel is part of Windows: run `python3 ci/lab.py pytest`")
    for item in items:
        if item.get_closest_marker("schannel"):
            item.add_marker(skip)


_failed: pytest.StashKey[bool] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or call.excinfo is not None
    return report


@pytest.fixture(autouse=True)
def _schannel(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put a model in the place of Schannel in the lanes that have one."""
    windows = model_lane.windows_of_lane()
    if windows is None:
        yield
        return
    with model_lane.installed(windows, lambda: request.node.stash.get(_failed, False)):
        yield


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="session")
def tls_version() -> ssl.TLSVersion:
    """The version that the servers of this lane speak."""
    is_tls13 = os.environ.get("SCHANNEL_LAB_TLS13") == "1"
    return ssl.TLSVersion.TLSv1_3 if is_tls13 else ssl.TLSVersion.TLSv1_2


@pytest.fixture
def tls_server(
    certificates: Certificates, tls_version: ssl.TLSVersion
) -> Iterator[Callable[..., TLSServer]]:
    """Start a TLS server that behaves as the arguments (those of `Script`) say."""
    with contextlib.ExitStack() as stack:

        def start(
            identity: Identity | None = None, *, listen_on: str = "127.0.0.1", **script: Any
        ) -> TLSServer:
            script.setdefault("version", tls_version)
            identity = identity or certificates.good
            server = TLSServer(Script(identity=identity, **script), host=listen_on)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Start a server that answers with bytes of its own, not with TLS."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes = b"", **script: Any) -> RawServer:
            server = RawServer(answer, **script)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def connect(certificates: Certificates) -> Iterator[Connector]:
    """Connect TLSSockets to the servers; what is still open at the end is closed."""
    connector = Connector(certificates.good)
    yield connector
    connector.close()
