"""Fixtures for the server's part: over the model of Schannel, and over the system's own.

`schannel` runs a test over both; where the system's Schannel takes no server's part (Wine before 9)
that half is skipped. `new_pair` makes a client and a server without sockets, `accept` a server that
listens.
"""

from __future__ import annotations

import contextlib
import gc
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certs import HOST, Certificates
from engine_pair import EnginePair
from own_server import Accept, Configs, Listener, NewPair, echo, takes_the_servers_part
from schannel_model import SchannelModel
from wire import is_wine

from schannel_ffi import TLSEngine, TLSSocket, _lib


@pytest.fixture(params=["model", "system"])
def schannel(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[None]:
    """Whose Schannel `_lib` uses: the model's, or the system's where it can be a server."""
    if request.param == "system":
        if not takes_the_servers_part(certificates):
            pytest.skip("this system's Schannel does not take the server's part (Wine before 9)")
        yield
        return
    model = SchannelModel()
    for identity in (certificates.good_rsa, certificates.server_rsa_only, certificates.client_rsa):
        model.know(identity.chain_pem, identity.key_pem)
    _lib.use_function_table(model.address)
    yield
    _lib.use_function_table(None)
    gc.collect()
    assert model.problems() == []


@pytest.fixture
def asks_clients(request: pytest.FixtureRequest, schannel: None) -> None:
    """Leave out a system whose server asks no client for a certificate."""
    if request.node.callspec.params["schannel"] == "system" and is_wine():
        pytest.skip("Wine 10: a server asks no client for a certificate (ASC_REQ_MUTUAL_AUTH)")


@pytest.fixture
def configs(schannel: None, certificates: Certificates, tls_version: ssl.TLSVersion) -> Configs:
    return Configs(certificates, tls_version)


@pytest.fixture
def new_pair(configs: Configs) -> Iterator[NewPair]:
    """Make a client and a server; `client` and `server` are settings of theirs."""
    with contextlib.ExitStack() as stack:

        def make(
            *,
            size: int = 1 << 16,
            client: dict[str, Any] | None = None,
            server: dict[str, Any] | None = None,
            **client_engine: Any,
        ) -> EnginePair:
            return EnginePair(
                stack.enter_context(
                    TLSEngine(
                        configs.client(**(client or {})), server_hostname=HOST, **client_engine
                    )
                ),
                stack.enter_context(TLSEngine(configs.server(**(server or {})), server_side=True)),
                size=size,
            )

        yield make


@pytest.fixture
def accept(configs: Configs) -> Iterator[Accept]:
    """Listen, and start TLS on each connection in a thread, by `wrap(server_side=True)`."""
    with contextlib.ExitStack() as stack:

        def start(serve: Callable[[TLSSocket], None] = echo, **settings: Any) -> Listener:
            return stack.enter_context(Listener(configs.server(**settings), serve))

        yield start
