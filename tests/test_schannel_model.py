"""The model of Windows' Schannel against itself and against the stdlib's TLS, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from certs import Certificates
from fake_sspi_types import Status
from schannel_model import SchannelModel
from schannel_model_driver import (
    TLS_1_2_ONLY,
    TLS_1_3_ONLY,
    End,
    Handle,
    Link,
)
from schannel_model_options import Windows

VERSIONS = pytest.mark.parametrize("versions", [TLS_1_2_ONLY, TLS_1_3_ONLY], ids=["tls12", "tls13"])
MakeModel = Callable[..., SchannelModel]
MakeLink = Callable[..., Link]


@pytest.fixture
def make_model(certificates: Certificates) -> Iterator[MakeModel]:
    """Return a function that makes models; each must be empty and without misuses at the end."""
    models: list[SchannelModel] = []

    def make(**options: object) -> SchannelModel:
        model = SchannelModel(Windows(**options))  # type: ignore[arg-type]  # any field
        model.know(certificates.good.chain_pem, certificates.good.key_pem)
        models.append(model)
        return model

    yield make
    for model in models:
        assert model.problems() == []


@pytest.fixture
def link(make_model: MakeModel, certificates: Certificates) -> Iterator[MakeLink]:
    """Return a function that makes two ends of one model."""
    links: list[Link] = []

    def make(versions: int, **options: object) -> Link:
        model = make_model(**options)
        client = Handle(model, versions=versions)
        server = Handle(
            model, is_server=True, versions=versions, certificate=certificates.good.leaf_der
        )
        links.append(Link(End(client), End(server, is_server=True)))
        return links[-1]

    yield make
    for each in links:
        for end in (each.client, each.server):
            if end.has_handle:
                end.delete()
            end.credential.free()


@VERSIONS
def test_client_and_server_talk(link: MakeLink, versions: int) -> None:
    pair = link(versions)

    pair.shake()
    up = pair.server.decrypt(pair.client.encrypt(b"up").data)

    assert (Status.SEC_E_OK, b"up") == (up.status, up.data)
