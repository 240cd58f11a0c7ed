"""The handshake of the model of Windows' Schannel, against itself and against OpenSSL; no sockets.

A number in a comment is the row of windows_behaviours.md.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from certs import Certificates
from cryptography.hazmat.primitives.serialization import Encoding
from fake_sspi_types import REQUESTED, Attribute, Buffer, ClientBit, Flag, Status
from schannel_model_crypt32 import HAS_CRYPT32, encoded, encoded_in_store, free
from schannel_model_driver import (
    ACCEPT,
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
    alpn_offer,
    deliver,
    shake,
    told,
)
from schannel_model_options import Feeding, Hint, windows_7
from schannel_model_queries import authorities_of
from schannel_model_tls import Endpoint, Progress, records_of
from schannel_model_types import AcceptFlag, MoreAttribute

pytest_plugins = ["schannel_model_fixtures"]

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
WITHOUT_LEAVE = REQUESTED & ~Flag.USE_SUPPLIED_CREDS


def version_of(end: End) -> int:
    status, info = end.query(Attribute.CONNECTION_INFO, "ConnectionInfo")
    assert Status.SEC_E_OK == status
    return int(info.dwProtocol)


def flight_of(client: End, peer: Endpoint) -> list[bytes]:
    """Return the records that OpenSSL answers the ClientHello with."""
    peer.advance(client.step().token)
    return records_of(peer.take_output())


# --------------------------------------------------------------------------------- credentials


def test_old_windows_does_not_know_sch_credentials(make_model: MakeModel) -> None:
    model = make_model(takes_sch_credentials=False)  # 1

    new, old = Handle(model), Handle(model, version=4, versions=TLS_1_2_ONLY)

    assert (Status.SEC_E_UNKNOWN_CREDENTIALS, Status.SEC_E_OK) == (new.status, old.status)
    old.free()


def test_tls_1_3_alone_is_refused_in_the_old_structure(make_model: MakeModel) -> None:
    handle = Handle(make_model(), version=4, versions=TLS_1_3_ONLY)  # 2

    assert Status.SEC_E_ALGORITHM_MISMATCH == handle.status


def test_tls_1_3_disappears_from_the_old_structure(
    make_model: MakeModel, make_end: MakeEnd
) -> None:
    model = make_model()
    old = Handle(model, version=4, versions=TLS_1_2_ONLY | TLS_1_3_ONLY)  # 2
    client = make_end(credential=old)

    Link(client, make_end(model, is_server=True)).shake()

    assert ClientBit.TLS_1_2 == version_of(client)
    client.delete()
    old.free()


@pytest.mark.parametrize("versions", [0, ClientBit.TLS_1_3], ids=["none", "tls13_on_windows_7"])
def test_range_without_a_version_is_a_mismatch(make_model: MakeModel, versions: int) -> None:
    handle = Handle(make_model(versions=windows_7().versions), versions=versions)  # 3

    assert Status.SEC_E_ALGORITHM_MISMATCH == handle.status


def test_server_needs_a_certificate_with_a_key(
    make_model: MakeModel, certificates: Certificates
) -> None:
    model = make_model()

    none = Handle(model, is_server=True)
    keyless = Handle(model, is_server=True, certificate=certificates.expired.leaf_der)

    assert [Status.SEC_E_NO_CREDENTIALS] * 2 == [none.status, keyless.status]  # 8, 81


# ----------------------------------------------------------------------------------- handshake


@pytest.mark.parametrize("feeding", Feeding)
def test_client_shakes_hands_with_openssl(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    version: ssl.TLSVersion,
    feeding: Feeding,
) -> None:
    client, peer = make_end(make_model(feeding=feeding)), make_peer(version)

    last = shake(client, peer)

    assert Status.SEC_E_OK == last.said.status
    assert VERSIONS[version] & version_of(client)
    assert b"up" == peer.receive(client.encrypt(b"up").data).data


@pytest.mark.parametrize("feeding", Feeding)
def test_server_shakes_hands_with_openssl(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    version: ssl.TLSVersion,
    feeding: Feeding,
) -> None:
    server = make_end(make_model(feeding=feeding), is_server=True)
    peer = make_peer(version, is_server=False)

    last = shake(server, peer)

    assert Status.SEC_E_OK == last.said.status
    assert VERSIONS[version] & version_of(server)
    assert b"up" == server.decrypt(peer.seal(b"up")).data


def test_flags_that_were_asked_for_are_granted(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client = make_end()

    assert int(REQUESTED) == shake(client, make_peer(version)).said.flags  # 35


@pytest.mark.parametrize("name", ["server.test", ""], ids=["name", "no_name"])
def test_target_is_the_server_name(make_end: MakeEnd, make_peer: MakePeer, name: str) -> None:
    client, peer = make_end(name=name), make_peer(TLS_1_3)

    shake(client, peer)

    assert (b"server.test" in peer.client_hello) == bool(name)  # 18


def test_alpn_is_agreed_on(make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion) -> None:
    client = make_end(alpn=alpn_offer(b"smtp", b"h2"))

    shake(client, make_peer(version, alpn=("h2",)))

    _, chosen = client.query(Attribute.APPLICATION_PROTOCOL, "ApplicationProtocol")
    assert (1, b"h2") == (chosen.Status, bytes(chosen.Id)[: chosen.Size])  # 36


def test_server_without_a_common_protocol_fails(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    server = make_end(is_server=True, alpn=alpn_offer(b"smtp"))
    peer = make_peer(version, is_server=False, alpn=("h2", "http/1.1"))
    peer.advance()

    said = server.step(peer.take_output())

    assert Status.SEC_E_APPLICATION_PROTOCOL_MISMATCH == said.status  # 36
    assert bytes((21, 3, 3, 0, 2, 2, 120)) == said.token


def test_windows_without_alpn_refuses_the_offer(make_model: MakeModel, make_end: MakeEnd) -> None:
    client = make_end(make_model(knows_alpn=False), alpn=alpn_offer(b"h2"))

    assert Status.SEC_E_INVALID_TOKEN == client.step().status  # 17


# ------------------------------------------------------------------------ parts of the input


@pytest.mark.parametrize(
    ("given", "hint", "missing"),
    [
        (1, Hint.EXACT, 4),
        (4, Hint.EXACT, 1),
        (5, Hint.EXACT, None),
        (5, Hint.ONE, 1),
        (4, Hint.NONE, 0),
    ],
)
def test_part_of_a_record_is_incomplete(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    given: int,
    hint: Hint,
    missing: int | None,
) -> None:
    client = make_end(make_model(hint=hint))
    first = flight_of(client, make_peer(TLS_1_3))[0]

    said = client.step(first[:given])

    expected = len(first) - given if missing is None else missing
    assert (Status.SEC_E_INCOMPLETE_MESSAGE, expected) == (said.status, said.missing)  # 21
    assert Status.SEC_I_CONTINUE_NEEDED == client.step(first).status


def test_one_record_is_taken_and_the_rest_is_extra(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client = make_end()
    flight = flight_of(client, make_peer(version))

    said = client.step(b"".join(flight))

    assert Status.SEC_I_CONTINUE_NEEDED == said.status
    assert (b"", sum(map(len, flight[1:]))) == (said.token, said.extra_size)  # 22, 23


def test_flight_is_incomplete_until_its_last_record(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client = make_end(make_model(feeding=Feeding.FLIGHT))
    flight = flight_of(client, make_peer(version))

    said = [client.step(b"".join(flight[: n + 1])) for n in range(len(flight))]

    assert [Status.SEC_E_INCOMPLETE_MESSAGE] * (len(flight) - 1) == [s.status for s in said[:-1]]
    assert said[-1].token
    assert 0 == said[-1].extra_size


def test_last_record_of_a_flight_is_extra(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client = make_end(make_model(feeding=Feeding.FLIGHT_BUT_LAST))
    flight = flight_of(client, make_peer(version))

    said = client.step(b"".join(flight))
    then = client.step(flight[-1])

    assert (Status.SEC_I_CONTINUE_NEEDED, b"") == (said.status, said.token)
    assert len(flight[-1]) == said.extra_size
    assert then.token


def test_records_behind_the_handshake_are_extra(make_end: MakeEnd, make_peer: MakePeer) -> None:
    client, peer = make_end(), make_peer(TLS_1_2)
    second = deliver(client, b"".join(flight_of(client, peer))).output
    for record in records_of(second):
        peer.advance(record)
    finished = peer.finish()
    *before, last = records_of(finished)
    deliver(client, b"".join(before))

    said = client.step(last + peer.seal(b"220 ready"))

    assert Status.SEC_E_OK == said.status  # 25
    assert 0 < said.extra_size


# ------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    "garbage",
    [b"220 ready\r\n", b"\x16\x02\x00\x00\x05", b"\x16\x03\x03\xff\xff", b"\x16\x03\x03\0\0"],
)
def test_what_is_not_tls_is_an_invalid_token(make_end: MakeEnd, garbage: bytes) -> None:
    client = make_end()
    client.step()

    said = client.step(garbage)

    assert (Status.SEC_E_INVALID_TOKEN, b"") == (said.status, said.token)  # 33


def test_alert_of_the_peer_is_an_illegal_message(make_end: MakeEnd) -> None:
    client = make_end()
    client.step()

    said = client.step(b"\x15\x03\x03\x00\x02\x02\x28")

    assert (Status.SEC_E_ILLEGAL_MESSAGE, b"") == (said.status, said.token)  # 30


@pytest.mark.parametrize("has_alert_buffer", [False, True], ids=["token", "alert"])
def test_failure_comes_with_an_alert(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer, *, has_alert_buffer: bool
) -> None:
    client = make_end(make_model(has_alert_buffer=has_alert_buffer))
    peer = make_peer(TLS_1_3)
    hello, *_, last = flight_of(client, peer)
    client.step(hello)

    said = client.step(last[:-1] + bytes([last[-1] ^ 1]))

    assert Status.SEC_E_MESSAGE_ALTERED == said.status  # 32
    assert 21 == said.token[0]
    assert (Buffer.ALERT if has_alert_buffer else Buffer.TOKEN) == said.token_kind


def test_server_without_a_common_version_sends_an_alert(
    make_end: MakeEnd, make_peer: MakePeer
) -> None:
    server = make_end(is_server=True, versions=TLS_1_3_ONLY)
    peer = make_peer(TLS_1_2, is_server=False)
    peer.advance()

    said = server.step(peer.take_output())

    assert Status.SEC_E_ILLEGAL_MESSAGE == said.status
    assert bytes((21, 3, 3, 0, 2, 2, 70)) == said.token  # 80: protocol_version


# ------------------------------------------------------------------------- client certificates


@pytest.mark.parametrize("is_tls13", [False, True], ids=["tls12", "tls13"])
def test_authorities_of_a_certificate_request_are_read(*, is_tls13: bool) -> None:
    names = b"\0\x020\0" + b"\0\x030\x01x"
    tls12 = b"\x01\x40" + b"\0\x02\x04\x03" + b"\0\x09" + names
    tls13 = b"\0" + b"\0\x17" + b"\0\x0d\0\x04\0\x02\x04\x03" + b"\0\x2f\0\x0b\0\x09" + names

    found = authorities_of(b"\x0d\0\0\0" + (tls13 if is_tls13 else tls12), is_tls13=is_tls13)

    assert [b"0\0", b"0\x01x"] == found  # 29


def ask_for_certificate(client: End, peer: Endpoint) -> tuple[bytes, Any]:
    """Feed the server's flight until it is held; return the record and what ISC said."""
    for record in flight_of(client, peer):
        said = client.step(record)
        if said.status == Status.SEC_I_INCOMPLETE_CREDENTIALS:
            return record, said
    raise AssertionError("nobody asked for a certificate")


def test_wish_for_a_certificate_holds_the_handshake(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client = make_end(requested=WITHOUT_LEAVE)
    peer = make_peer(version, wants_certificate=True)

    _, said = ask_for_certificate(client, peer)

    assert (b"", 0) == (said.token, said.extra_size)  # 28: nothing was consumed
    status, issuers = client.query(MoreAttribute.ISSUER_LIST_EX, "ModelIssuerList")
    assert (Status.SEC_E_OK, 0) == (status, issuers.cIssuers)  # 29: OpenSSL named none
    client.table.FreeContextBuffer(issuers.aIssuers)


@pytest.mark.parametrize("with_certificate", [False, True], ids=["none", "certificate"])
def test_same_input_goes_on_when_there_is_an_answer(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    certificates: Certificates,
    version: ssl.TLSVersion,
    *,
    with_certificate: bool,
) -> None:
    model = make_model()
    with_one = make_end(model, certificate=certificates.good.leaf_der).credential
    client = make_end(model, requested=WITHOUT_LEAVE)
    peer = make_peer(version, wants_certificate=True)
    flight = flight_of(client, peer)
    held = next(r for r in flight if client.step(r).status == Status.SEC_I_INCOMPLETE_CREDENTIALS)

    if with_certificate:  # 29
        client.credential = with_one
    else:
        client.requested = REQUESTED  # 28
    again = client.step(held)
    assert (Status.SEC_I_CONTINUE_NEEDED, 0) == (again.status, again.extra_size)
    flight = flight[flight.index(held) + 1 :]
    for record in records_of(again.token + deliver(client, b"".join(flight)).output):
        assert peer.advance(record) is not Progress.FAILED

    expected = certificates.good.leaf_der if with_certificate else None
    assert expected == peer.tls.getpeercert(binary_form=True)


def test_server_asks_for_a_certificate_by_mutual_auth(
    make_model: MakeModel, make_end: MakeEnd, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    model = make_model()
    der = certificates.wildcard.leaf_der
    client = make_end(model, certificate=der, versions=VERSIONS[version])
    server = make_end(model, is_server=True, requested=ACCEPT | AcceptFlag.MUTUAL_AUTH)  # 78

    Link(client, server).shake()

    context = model.ledger.contexts[int(server.handle.dwLower)]
    assert [der] == context.endpoint.peer_chain()


@pytest.mark.skipif(not HAS_CRYPT32, reason="crypt32 is a part of Windows")
def test_certificate_of_the_peer_is_a_real_context(
    make_end: MakeEnd, make_peer: MakePeer, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    identity = certificates.intermediate
    client = make_end()
    shake(client, make_peer(version, identity=identity))

    status, value = client.query(Attribute.REMOTE_CERT_CONTEXT, "MODEL_CERT_CONTEXT *")

    sent = [certificate.public_bytes(Encoding.DER) for certificate in identity.chain]
    assert (Status.SEC_E_OK, sent[0]) == (status, encoded(value[0]))
    assert sorted(sent) == sorted(encoded_in_store(value[0]))  # 38
    free(value[0])


@pytest.mark.skipif(not HAS_CRYPT32, reason="crypt32 is a part of Windows")
def test_certificate_context_that_is_not_freed_is_told(
    make_end: MakeEnd, make_peer: MakePeer
) -> None:
    client = make_end()
    shake(client, make_peer(TLS_1_3))
    _, value = client.query(Attribute.REMOTE_CERT_CONTEXT, "MODEL_CERT_CONTEXT *")

    held = client.model.certificates.release()
    free(value[0])

    assert 1 == held


# --------------------------------------------------------------------------------- resumption


def is_resumed(end: End) -> bool:
    status, info = end.query(MoreAttribute.SESSION_INFO, "ModelSessionInfo")
    assert Status.SEC_E_OK == status
    return bool(info.dwFlags & 1)


def talk(link: Link) -> bool:
    """Shake hands, take the tickets, tell whether the session was resumed, and end."""
    link.shake()
    for record in records_of(link.left):
        extra = link.client.decrypt(record).extra
        assert Status.SEC_E_OK == link.client.step(extra).status
    resumed = is_resumed(link.client)
    link.client.delete()
    link.server.delete()
    return resumed


@pytest.mark.parametrize(
    ("lifespan", "is_same_name", "is_resumed"),
    [(0, True, True), (0, False, False), (0xFFFFFFFF, True, False)],
    ids=["same", "other_name", "switched_off"],
)
def test_session_is_resumed_within_a_credential(
    make_model: MakeModel,
    make_end: MakeEnd,
    version: ssl.TLSVersion,
    lifespan: int,
    *,
    is_same_name: bool,
    is_resumed: bool,
) -> None:
    model = make_model()
    credential = Handle(model, versions=VERSIONS[version], lifespan=lifespan)
    server = make_end(model, is_server=True)
    names = ["server.test", "server.test" if is_same_name else "other.test"]

    resumed = [
        talk(
            Link(
                make_end(credential=credential, name=name),
                make_end(credential=server.credential, is_server=True),
            )
        )
        for name in names
    ]

    assert [False, is_resumed] == resumed  # 12, 13, 47
    credential.free()


def test_make_link_leaves_nothing(make_link: MakeLink, version: ssl.TLSVersion) -> None:
    link = make_link(version)

    up = link.server.decrypt(link.client.encrypt(b"up").data)

    assert (Status.SEC_E_OK, b"up") == (up.status, up.data)
    assert [] == told(link.client.model)
