"""Records of the model of Windows' Schannel: application data, post-handshake messages, ends.

A number in a comment is the row of windows_behaviours.md.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable

import pytest
from certs import Certificates
from fake_sspi_types import Attribute, Status
from schannel_model_driver import (
    TLS_1_2_ONLY,
    End,
    Handle,
    MakeEnd,
    MakeLink,
    MakeModel,
    MakePeer,
    deliver,
    shake,
    told,
)
from schannel_model_options import PostHandshake
from schannel_model_tls import Endpoint, Message, record_at, records_of
from schannel_model_types import Control, MoreAttribute, ffi, member_type

pytest_plugins = ["schannel_model_fixtures"]

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
UNKNOWN_CA, FATAL = 48, 2


def control(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


# ---------------------------------------------------------------------------- application data


@pytest.mark.parametrize("size", [1, 1000, 16384])
def test_data_goes_both_ways_one_record_each(
    make_link: MakeLink, version: ssl.TLSVersion, size: int
) -> None:
    link, data = make_link(version), bytes(range(256)) * 64
    for record in records_of(link.left):
        link.client.step(link.client.decrypt(record).extra)

    up, down = link.client.encrypt(data[:size]).data, link.server.encrypt(data[:size]).data

    assert [size, size] == [len(link.server.decrypt(up).data), len(link.client.decrypt(down).data)]
    assert len(up) == record_at(up)


def test_trailer_is_smaller_than_what_stream_sizes_tell(
    make_link: MakeLink, version: ssl.TLSVersion
) -> None:
    link = make_link(version)

    _, sizes = link.client.query(Attribute.STREAM_SIZES, "StreamSizes")
    record = link.client.encrypt(b"x" * 100, header=sizes.cbHeader, trailer=sizes.cbTrailer).data

    assert 16384 == sizes.cbMaximumMessage  # 37, 49
    assert 100 < len(record) < sizes.cbHeader + 100 + sizes.cbTrailer


def test_second_record_is_extra_with_its_pointer(
    make_link: MakeLink, version: ssl.TLSVersion
) -> None:
    link = make_link(version)
    first, second = link.client.encrypt(b"one").data, link.client.encrypt(b"two").data

    said = link.server.decrypt(first + second)

    assert (Status.SEC_E_OK, b"one", second) == (said.status, said.data, said.extra)  # 57
    assert b"two" == link.server.decrypt(said.extra).data


def test_altered_record_fails_and_is_destroyed(
    make_link: MakeLink, version: ssl.TLSVersion
) -> None:
    link = make_link(version)
    record = link.client.encrypt(b"x" * 100).data

    said = link.server.decrypt(record[:-1] + bytes([record[-1] ^ 1]))

    assert Status.SEC_E_DECRYPT_FAILURE == said.status  # 67
    assert record[:100] != said.memory[:100]


# ------------------------------------------------------------------ post-handshake, TLS 1.3


@pytest.mark.parametrize("extra", [PostHandshake.RECORD, PostHandshake.MESSAGE])
def test_tickets_are_for_isc(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer, extra: PostHandshake
) -> None:
    client, peer = make_end(make_model(post_handshake=extra)), make_peer(TLS_1_3, tickets=3)
    left = shake(client, peer).left

    said = []
    for record in records_of(left):
        decrypted = client.decrypt(record)
        said.append((decrypted, client.step(decrypted.extra)))

    assert [Status.SEC_I_RENEGOTIATE] * 3 == [decrypted.status for decrypted, _ in said]  # 58
    assert [(Status.SEC_E_OK, b"")] * 3 == [(then.status, then.token) for _, then in said]
    whole = [decrypted.extra == r for (decrypted, _), r in zip(said, records_of(left), strict=True)]
    assert [extra is PostHandshake.RECORD] * 3 == whole
    if extra is PostHandshake.MESSAGE:
        assert {Message.NEW_SESSION_TICKET} == {decrypted.extra[0] for decrypted, _ in said}
    assert b"data" == client.decrypt(peer.seal(b"data")).data


def test_tickets_may_be_swallowed(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer
) -> None:
    client = make_end(make_model(post_handshake=PostHandshake.SWALLOWED))
    left = shake(client, make_peer(TLS_1_3)).left

    said = [client.decrypt(record) for record in records_of(left)]

    assert [(Status.SEC_E_OK, b"")] * 2 == [(s.status, s.data) for s in said]


@pytest.mark.parametrize("request_answer", [False, True], ids=["one_way", "answered"])
@pytest.mark.parametrize("extra", PostHandshake)
def test_key_update_is_for_isc(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    extra: PostHandshake,
    *,
    request_answer: bool,
) -> None:
    client, peer = make_end(make_model(post_handshake=extra)), make_peer(TLS_1_3, tickets=0)
    shake(client, peer)

    decrypted = client.decrypt(peer.update_keys(request=request_answer))
    said = client.step(decrypted.extra)

    assert (Status.SEC_I_RENEGOTIATE, Status.SEC_E_OK) == (decrypted.status, said.status)
    assert request_answer == bool(said.token)  # 63
    if said.token:
        assert [(Message.KEY_UPDATE, b"\x18\0\0\1\0")] == peer.receive(said.token).messages
    assert b"down" == client.decrypt(peer.seal(b"down")).data
    assert b"up" == peer.receive(client.encrypt(b"up").data).data


def test_message_over_two_records_is_incomplete_for_isc(
    make_end: MakeEnd, make_peer: MakePeer, certificates: Certificates
) -> None:
    client = make_end(certificate=certificates.good.leaf_der)
    peer = make_peer(TLS_1_3, tickets=1, wants_certificate=True)  # which stands in the ticket
    peer.extras.limit_records(512)
    first, *others = records_of(shake(client, peer).left)

    decrypted = client.decrypt(first)
    said = client.step(decrypted.extra)
    given = decrypted.extra
    while said.status == Status.SEC_E_INCOMPLETE_MESSAGE:
        given += others.pop(0)
        said = client.step(given)

    assert (Status.SEC_I_RENEGOTIATE, first) == (decrypted.status, decrypted.extra)
    assert len(first) < len(given)
    assert Status.SEC_E_OK == said.status
    assert b"data" == client.decrypt(peer.seal(b"data")).data


@pytest.mark.parametrize("extra", [PostHandshake.RECORD, PostHandshake.MESSAGE])
def test_rest_behind_a_post_handshake_message_is_extra(
    make_model: MakeModel, make_end: MakeEnd, make_peer: MakePeer, extra: PostHandshake
) -> None:
    client, peer = make_end(make_model(post_handshake=extra)), make_peer(TLS_1_3, tickets=1)
    ticket, data = shake(client, peer).left, peer.seal(b"220 ready")

    decrypted = client.decrypt(ticket + data)
    said = client.step(decrypted.extra)

    assert decrypted.extra.endswith(data)
    assert (Status.SEC_E_OK, len(data)) == (said.status, said.extra_size)
    assert b"220 ready" == client.decrypt(data).data


# ------------------------------------------------------------------- renegotiation, TLS 1.2


def test_hello_request_begins_a_renegotiation(make_end: MakeEnd, make_peer: MakePeer) -> None:
    client, peer = make_end(), make_peer(TLS_1_2)
    shake(client, peer)

    decrypted = client.decrypt(peer.ask_to_renegotiate())
    said = client.step()
    token = said.token

    assert (Status.SEC_I_RENEGOTIATE, b"") == (decrypted.status, decrypted.data)  # 60
    assert Status.SEC_I_CONTINUE_NEEDED == said.status
    finish_renegotiation(client, peer, token)
    assert b"down" == client.decrypt(peer.seal(b"down")).data
    assert b"up" == peer.receive(client.encrypt(b"up").data).data


def finish_renegotiation(client: End, peer: Endpoint, token: bytes) -> None:
    status = int(Status.SEC_I_CONTINUE_NEEDED)
    while token:
        for record in records_of(token):
            assert peer.receive(record).error is None  # OpenSSL renegotiates while it reads
        if status == Status.SEC_E_OK:
            return
        delivered = deliver(client, peer.take_output())
        status, token = delivered.said.status, delivered.output
    assert Status.SEC_E_OK == status


# ---------------------------------------------------------------------------------------- ends


def test_close_notify_expires_reading_alone(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client, peer = make_end(), make_peer(version, tickets=0)
    shake(client, peer)

    said = client.decrypt(peer.close_notify())

    assert (Status.SEC_I_CONTEXT_EXPIRED, b"") == (said.status, said.data)  # 64
    assert b"up" == peer.receive(client.encrypt(b"up").data).data


@pytest.mark.parametrize("status", [Status.SEC_E_OK, Status.SEC_I_CONTEXT_EXPIRED])
def test_shutdown_gives_close_notify_out(
    make_model: MakeModel,
    make_end: MakeEnd,
    make_peer: MakePeer,
    version: ssl.TLSVersion,
    status: Status,
) -> None:
    client, peer = make_end(make_model(shutdown_status=status)), make_peer(version, tickets=0)
    shake(client, peer)

    applied = client.control(control(Control.SHUTDOWN))
    said = client.step()

    assert (Status.SEC_E_OK, status) == (applied, said.status)  # 68
    assert peer.receive(said.token).is_close_notify
    assert b"down" == client.decrypt(peer.seal(b"down")).data


def test_shutdown_in_the_handshake_is_an_alert_in_the_clear(make_end: MakeEnd) -> None:
    client = make_end()
    client.step()

    client.control(control(Control.SHUTDOWN))
    said = client.step()

    assert (Status.SEC_E_OK, b"\x15\x03\x03\0\x02\x01\0") == (said.status, said.token)  # 69


def test_peer_reads_the_alert_that_was_asked_for(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client, peer = make_end(), make_peer(version, tickets=0)
    shake(client, peer)
    for record in (client.encrypt(b"one").data, client.encrypt(b"two").data):
        peer.receive(record)

    client.control(control(Control.ALERT, FATAL, UNKNOWN_CA))  # 45
    error = peer.receive(client.step().token).error

    assert error is not None
    assert "TLSV1_ALERT_UNKNOWN_CA" == error.reason


def test_server_may_send_an_alert_behind_its_tickets(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    server, peer = make_end(is_server=True), make_peer(version, is_server=False)
    last = shake(server, peer)
    for record in records_of(last.output) if version is TLS_1_3 else ():
        peer.receive(record)

    server.control(control(Control.ALERT, FATAL, UNKNOWN_CA))
    error = peer.receive(server.step().token).error

    assert error is not None
    assert "TLSV1_ALERT_UNKNOWN_CA" == error.reason


@pytest.mark.parametrize(
    "token",
    [b"\x01\0\0", control(Control.RENEGOTIATE), control(99), control(Control.ALERT)],
    ids=["short", "renegotiate", "unknown", "short_alert"],
)
def test_control_token_that_windows_does_not_take(make_end: MakeEnd, token: bytes) -> None:
    client = make_end()
    client.step()

    assert Status.SEC_E_UNSUPPORTED_FUNCTION == client.control(token)  # 70


@pytest.mark.parametrize(
    ("description", "status"),
    [(UNKNOWN_CA, 0x80090325), (46, 0x80090327), (40, 0x80090326)],
    ids=["unknown_ca", "certificate_unknown", "handshake_failure"],
)
def test_alert_behind_the_handshake_has_a_status(
    make_link: MakeLink, description: int, status: int
) -> None:
    link = make_link(TLS_1_3)
    link.client.control(control(Control.ALERT, FATAL, description))

    said = link.server.decrypt(link.client.step().token)

    assert status == said.status & 0xFFFFFFFF  # 48


# --------------------------------------------------------------------------- bindings and keys


def bindings_of(end: End, attribute: int) -> tuple[int, bytes]:
    status, bindings = end.query(attribute, "ModelBindings")
    if status != Status.SEC_E_OK:
        return status, b""
    blob = bytes(ffi.buffer(bindings.Bindings, bindings.BindingsLength))
    end.table.FreeContextBuffer(bindings.Bindings)
    size, offset = struct.unpack_from("<II", blob, 24)
    return status, blob[offset : offset + size]


def test_both_ends_have_the_same_end_point(make_link: MakeLink, version: ssl.TLSVersion) -> None:
    link = make_link(version)

    client, server = (
        bindings_of(end, MoreAttribute.ENDPOINT_BINDINGS) for end in (link.client, link.server)
    )

    assert client == server  # 72
    assert client[1].startswith(b"tls-server-end-point:")


def test_tls_unique_ends_with_tls_1_2(make_link: MakeLink, version: ssl.TLSVersion) -> None:
    link = make_link(version)

    client, server = (
        bindings_of(end, MoreAttribute.UNIQUE_BINDINGS) for end in (link.client, link.server)
    )

    assert client == server
    expected = Status.SEC_E_OK if version is TLS_1_2 else Status.SEC_E_UNSUPPORTED_FUNCTION
    assert expected == client[0]


def keying_material(end: End, label: bytes, context: bytes, size: int) -> bytes:
    label_memory, value = ffi.new("char[]", label), ffi.new("uint8_t[]", context)
    info = ffi.new(
        "ModelKeyingMaterialInfo *", (len(label) + 1, label_memory, len(context), value, size)
    )
    set_attributes = ffi.cast(member_type("SetContextAttributesW"), end.table.SetContextAttributesW)
    status = set_attributes(
        end.handle, MoreAttribute.KEYING_MATERIAL_INFO, info, ffi.sizeof("ModelKeyingMaterialInfo")
    )
    assert Status.SEC_E_OK == status
    status, material = end.query(MoreAttribute.KEYING_MATERIAL, "ModelKeyingMaterial")
    assert Status.SEC_E_OK == status
    data = bytes(ffi.buffer(material.pbKeyingMaterial, material.cbKeyingMaterial))
    end.table.FreeContextBuffer(material.pbKeyingMaterial)
    return data


def test_keying_material_is_that_of_the_peer(
    make_end: MakeEnd, make_peer: MakePeer, version: ssl.TLSVersion
) -> None:
    client, peer = make_end(), make_peer(version, tickets=0)
    shake(client, peer)
    label = b"EXPORTER-Channel-Binding"

    material = keying_material(client, label, b"", 32)

    assert peer.extras.export_keying_material(label, b"", 32) == material  # 73
    assert material != keying_material(client, label, b"x", 32)


# -------------------------------------------------------------------------------------- misuse


def test_model_tells_every_misuse_of_records(make_link: MakeLink) -> None:
    link = make_link(TLS_1_3)
    model, ticket = link.client.model, records_of(link.left)[0]
    record = link.server.encrypt(b"x").data

    expected: dict[str, Callable[[], object]] = {
        "lacks 1 bytes": lambda: link.server.decrypt(link.client.encrypt(b"x").data[:-1]),
        "EncryptMessage of nothing": lambda: link.client.encrypt(b""),
        "EncryptMessage of 16385 bytes": lambda: link.client.encrypt(b"x" * 16385),
        "no room for the header": lambda: link.client.encrypt(b"x", header=4),
        "no room for a trailer": lambda: link.client.encrypt(b"x", trailer=3),
        "DecryptMessage with buffers": lambda: link.server.decrypt(record, empties=2),
        "that is not empty": lambda: link.server.decrypt(record, dirt=1),
        "EncryptMessage on a security context that is post-handshake": lambda: (
            link.client.decrypt(ticket),
            link.client.encrypt(b"x"),
        ),
        "DecryptMessage on a security context that is post-handshake": lambda: link.client.decrypt(
            record
        ),
        "was not presented again": lambda: link.client.step(ticket[:-1]),
        "DecryptMessage on a security context that is failed": lambda: link.client.decrypt(record),
        "ISC on a security context that is failed": lambda: link.client.step(ticket),
    }
    for text, misuse in expected.items():
        misuse()
        misuses = told(model)
        assert any(text in each for each in misuses), (text, misuses)


def test_model_tells_every_misuse_of_the_handshake(make_end: MakeEnd, make_peer: MakePeer) -> None:
    client, peer = make_end(), make_peer(TLS_1_3)
    model = client.model
    peer.advance(client.step().token)
    first, *_ = records_of(peer.take_output())
    client.step(first[:7])

    def under_another_name() -> None:
        client.name = "other.test"
        client.step(first)
        client.name = "server.test"

    expected: dict[str, Callable[[], object]] = {
        "ISC without new bytes": lambda: client.step(first[:7]),
        "ISC without input in mid handshake": client.step,
        "another target name": under_another_name,
        "one TOKEN": lambda: client.control(b"\x01\0\0\0", kind=1),
    }
    for text, misuse in expected.items():
        misuse()
        misuses = told(model)
        assert any(text in each for each in misuses), (text, misuses)


def test_model_tells_what_is_not_given_back(make_model: MakeModel, make_peer: MakePeer) -> None:
    model = make_model()
    credential = Handle(model, versions=TLS_1_2_ONLY)
    client = End(credential)
    client.step()

    alive = model.problems()
    early = credential.free()
    misuse = told(model)
    client.delete()

    assert 2 == len(alive)
    assert (Status.SEC_E_OK, ["credential freed before its security context (row 71)"]) == (
        early,
        misuse,
    )
    assert Status.SEC_E_INVALID_HANDLE == client.delete()
    assert ["DeleteSecurityContext"] == [text.split()[0] for text in told(model)]
