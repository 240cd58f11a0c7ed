"""Fixtures of the model's own tests: models, ends on them, and OpenSSL as the peer.

Everything is freed when the test ends, and each model must then have nothing to tell; a test that
misuses a model takes what it has to tell with `told`.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from certs import HOST, Certificates, Identity
from schannel_model import SchannelModel
from schannel_model_driver import (
    TLS_1_2_ONLY,
    TLS_1_3_ONLY,
    VERSIONS,
    End,
    Handle,
    Link,
    MakeEnd,
    MakeLink,
    MakeModel,
    MakePeer,
)
from schannel_model_options import Windows
from schannel_model_tls import Endpoint, watch


@pytest.fixture(params=VERSIONS, ids=["tls12", "tls13"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """The one version that is spoken: the test runs with each."""
    chosen: ssl.TLSVersion = request.param
    return chosen


@pytest.fixture
def make_model(certificates: Certificates) -> Iterator[MakeModel]:
    """Return a function that makes models; the arguments are those of `Windows`."""
    models: list[SchannelModel] = []

    def make(**options: Any) -> SchannelModel:
        model = SchannelModel(Windows(**options))
        model.know(certificates.good.chain_pem, certificates.good.key_pem)
        model.know(certificates.wildcard.chain_pem, certificates.wildcard.key_pem)
        models.append(model)
        return model

    yield make
    for model in models:
        assert model.problems() == []


@pytest.fixture
def make_end(make_model: MakeModel, certificates: Certificates) -> Iterator[MakeEnd]:
    """Return a function that makes clients and servers; servers have the good certificate."""
    with contextlib.ExitStack() as stack:

        def make(
            model: SchannelModel | None = None,
            *,
            is_server: bool = False,
            versions: int = TLS_1_2_ONLY | TLS_1_3_ONLY,
            certificate: bytes | None = None,
            credential: Handle | None = None,
            **call: Any,
        ) -> End:
            if is_server:
                certificate = certificate or certificates.good.leaf_der
            if credential is None:
                credential = Handle(
                    model or make_model(),
                    is_server=is_server,
                    versions=versions,
                    certificate=certificate,
                )
                stack.callback(credential.free)
            end = End(credential, is_server=is_server, **call)
            stack.callback(end.delete_if_made)
            return end

        yield make


@pytest.fixture
def make_link(make_end: MakeEnd, make_model: MakeModel) -> MakeLink:
    """Return a function that makes a client and a server of one model, shaken hands."""

    def make(version: ssl.TLSVersion, **options: Any) -> Link:
        model = make_model(**options)
        ends = [make_end(model, is_server=s, versions=VERSIONS[version]) for s in (False, True)]
        link = Link(*ends)
        link.shake()
        return link

    return make


@pytest.fixture
def make_peer(certificates: Certificates) -> MakePeer:
    """Return a function that makes OpenSSL's end of a connection."""

    def make(
        version: ssl.TLSVersion,
        *,
        is_server: bool = True,
        identity: Identity | None = None,
        tickets: int = 2,
        alpn: tuple[str, ...] = (),
        wants_certificate: bool = False,
    ) -> Endpoint:
        identity = identity or certificates.good
        context = identity.server_context() if is_server else identity.client_context()
        context.minimum_version = context.maximum_version = version
        if is_server:
            context.num_tickets = tickets
        if alpn:
            context.set_alpn_protocols(list(alpn))
        watch(context)
        peer = Endpoint(context, is_server=is_server, name=None if is_server else HOST)
        peer.may_send_certificate = True
        if wants_certificate:
            peer.extras.accept_any_certificate()
        return peer

    return make
