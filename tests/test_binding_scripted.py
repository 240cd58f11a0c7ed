"""Channel bindings and keying material: what is taken from Windows, what is refused (72, 73, 95).

Fake SSPI and fake crypt32: no network. The number in a comment is the row.
"""

from __future__ import annotations

import hashlib

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_facts import channel_bindings
from fake_sspi_script import Decrypt
from fake_sspi_types import Attribute, ClientBit, Status, ffi
from fake_system import FakeSystem, Names
from scripted_engine import MakeEngine, ScriptedEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

END_POINT, UNIQUE, EXPORTER = 1, 2, 3  # schan_channel_binding
UNIQUE_PREFIX, END_POINT_PREFIX = b"tls-unique:", b"tls-server-end-point:"
FINISHED_BYTES = bytes(range(1, 13))
DIGEST = bytes(range(1, 33))
LABEL = b"EXPORTER-Channel-Binding\0"
UNDEFINED = ("ERR_UNDEFINED", b"")


@pytest.fixture
def tls12(sspi: FakeSSPI) -> FakeSSPI:
    sspi.protocol = int(ClientBit.TLS_1_2)
    return sspi


@pytest.fixture
def tls13(sspi: FakeSSPI) -> FakeSSPI:
    """A Windows that exports keying material: its table has the member for it."""
    sspi.protocol, sspi.table.dwVersion = int(ClientBit.TLS_1_3), 2
    sspi.facts.material = DIGEST
    return sspi


def tell(sspi: FakeSSPI, kind: int, blob: bytes) -> None:
    attribute = Attribute.UNIQUE_BINDINGS if kind == UNIQUE else Attribute.ENDPOINT_BINDINGS
    sspi.facts.bindings[attribute] = blob


# ---------------------------------------------------------------------------------- from a blob


@pytest.mark.parametrize("gap", [0, 1, 16])
@pytest.mark.parametrize(
    ("kind", "prefix", "value"),
    [(UNIQUE, UNIQUE_PREFIX, FINISHED_BYTES), (END_POINT, END_POINT_PREFIX, DIGEST)],
    ids=["tls_unique", "tls_server_end_point"],
)
def test_binding_is_given_without_its_name(
    tls12: FakeSSPI, open_engine: MakeEngine, kind: int, prefix: bytes, value: bytes, gap: int
) -> None:
    tell(tls12, kind, channel_bindings(prefix + value, gap=gap))  # 72

    assert ("OK", value) == open_engine().channel_binding(kind)


BROKEN = [
    b"",
    b"\1" * 31,  # half a header
    channel_bindings(b""),
    channel_bindings(UNIQUE_PREFIX),  # a name and nothing behind it
    channel_bindings(UNIQUE_PREFIX + bytes(12)),  # zeros
    channel_bindings(END_POINT_PREFIX + FINISHED_BYTES),  # another name
    channel_bindings(FINISHED_BYTES),
    channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES, length=200),  # past the end
    channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES, length=0xFFFFFFFF),
    channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES, length=5),
    channel_bindings(b"", gap=0x7FFF)[:40],  # the offset past the end
]


@pytest.mark.parametrize("blob", BROKEN, ids=range(len(BROKEN)))
def test_binding_that_is_none_is_refused(
    tls12: FakeSSPI, open_engine: MakeEngine, blob: bytes
) -> None:
    tell(tls12, UNIQUE, blob)  # 72; that it is freed is held by the fixture

    assert UNDEFINED == open_engine().channel_binding(UNIQUE)


def test_tls_unique_is_refused_under_tls13(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    tell(sspi, UNIQUE, channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES))  # 72

    assert UNDEFINED == open_engine().channel_binding(UNIQUE)


@pytest.mark.parametrize(("flags", "expected"), [(1, "ERR_UNDEFINED"), (0, "OK"), (None, "OK")])
def test_tls_unique_of_a_resumed_session_is_refused(
    tls12: FakeSSPI, open_engine: MakeEngine, flags: int | None, expected: str
) -> None:
    tls12.facts.session_flags = flags  # 72, RFC 7627, 5.4
    tell(tls12, UNIQUE, channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES))

    assert expected == open_engine().channel_binding(UNIQUE)[0]


def test_binding_that_windows_does_not_have(tls12: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()

    result = engine.channel_binding(UNIQUE)

    assert ("ERR_SSPI", b"") == result
    assert ("QueryContextAttributes", Status.SEC_E_UNSUPPORTED_FUNCTION) == (
        engine.error.call,
        engine.error.status,
    )
    assert "OPEN" == engine.state  # a question, not a failure of the connection


@pytest.mark.parametrize("kind", [END_POINT, UNIQUE])
def test_room_that_is_too_small_is_not_overrun(
    tls12: FakeSSPI, open_engine: MakeEngine, kind: int
) -> None:
    tell(tls12, UNIQUE, channel_bindings(UNIQUE_PREFIX + FINISHED_BYTES))
    tell(tls12, END_POINT, channel_bindings(END_POINT_PREFIX + DIGEST))

    assert ("ERR_MISUSE", b"") == open_engine().channel_binding(kind, 11)


@pytest.mark.parametrize("kind", [0, 4])
def test_unknown_kind_is_refused(open_engine: MakeEngine, kind: int) -> None:
    assert ("ERR_MISUSE", b"") == open_engine().channel_binding(kind)


@pytest.mark.parametrize("kind", [END_POINT, UNIQUE, EXPORTER])
def test_nothing_is_bound_before_the_handshake(make_engine: MakeEngine, kind: int) -> None:
    engine = make_engine()

    assert ("ERR_MISUSE", b"") == engine.channel_binding(kind)


def test_failed_connection_tells_its_failure(tls13: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    engine.feed(b"\x17\x03\x03\x00\x00")
    failure = failing_read(tls13, engine)

    assert failure == engine.channel_binding(EXPORTER)[0] == engine.export(b"L", 4)[0]


def failing_read(sspi: FakeSSPI, engine: ScriptedEngine) -> str:
    sspi.script(Decrypt(given=b"\x17\x03\x03\x00\x00", status=Status.SEC_E_DECRYPT_FAILURE))
    result = engine.read()[0]
    assert result.startswith("ERR_")
    return result


# ------------------------------------------------------- the digest of the certificate, by us

RSA = "1.2.840.113549.1.1."
PSS = RSA + "10"
SHA1_PSS = bytes.fromhex("3000")  # all by default
PSS_OF = {
    "sha256": bytes.fromhex("3011a00f300d06096086480165030402010500"),
    "sha384": bytes.fromhex("3011a00f300d06096086480165030402020500"),
    "sha512": bytes.fromhex("3011a00f300d06096086480165030402030500"),
}
SIGNATURES = [  # RFC 5929, 4.1
    (RSA + "4", b"", "sha256"),  # md5WithRSA
    (RSA + "5", b"", "sha256"),  # sha1WithRSA
    ("1.3.14.3.2.29", b"", "sha256"),
    ("1.2.840.10040.4.3", b"", "sha256"),  # dsaWithSHA1
    ("1.2.840.10045.4.1", b"", "sha256"),
    (RSA + "11", b"\x05\x00", "sha256"),
    (RSA + "12", b"\x05\x00", "sha384"),
    (RSA + "13", b"\x05\x00", "sha512"),
    ("1.2.840.10045.4.3.2", b"", "sha256"),
    ("1.2.840.10045.4.3.3", b"", "sha384"),
    ("1.2.840.10045.4.3.4", b"", "sha512"),
    (PSS, SHA1_PSS, "sha256"),
    *((PSS, parameters, name) for name, parameters in PSS_OF.items()),
    (PSS, PSS_OF["sha256"][:-3], None),  # cut off
    (PSS, bytes.fromhex("3009a00730050603550101"), None),  # a hash function nobody knows
    (PSS, b"", None),
    ("1.3.101.112", b"", None),  # Ed25519: no hash function of its own
    ("", b"", None),
]


@pytest.mark.parametrize(("signature", "parameters", "digest"), SIGNATURES)
def test_end_point_is_computed_where_windows_has_none(
    tls12: FakeSSPI,
    system: FakeSystem,
    open_engine: MakeEngine,
    signature: str,
    parameters: bytes,
    digest: str | None,
) -> None:
    names = Names(signature=signature, parameters=parameters)
    tls12.peer_certificate = lambda: system.certificate(der=b"whole certificate", names=names)

    result = open_engine(system).channel_binding(END_POINT)  # 72

    if digest is None:
        assert UNDEFINED == result
    else:
        assert ("OK", hashlib.new(digest, b"whole certificate").digest()) == result


def test_windows_goes_before_our_own_computation(
    tls12: FakeSSPI, system: FakeSystem, open_engine: MakeEngine
) -> None:
    names = Names(signature=RSA + "11")
    tls12.peer_certificate = lambda: system.certificate(names=names)
    tell(tls12, END_POINT, channel_bindings(END_POINT_PREFIX + DIGEST))  # 72

    assert ("OK", DIGEST) == open_engine(system).channel_binding(END_POINT)


def test_peer_without_certificate_has_no_end_point(
    tls12: FakeSSPI, open_engine: MakeEngine
) -> None:
    assert "ERR_SSPI" == open_engine().channel_binding(END_POINT)[0]


# ----------------------------------------------------------------------------- keying material


def test_exporter_is_asked_as_rfc_9266_says(tls13: FakeSSPI, open_engine: MakeEngine) -> None:
    result = open_engine().channel_binding(EXPORTER)  # 73

    assert ("OK", DIGEST) == result
    assert [(LABEL, b"", True, 32)] == tls13.facts.exports


@pytest.mark.parametrize("context", [b"", b"c", b"context" * 9000])
def test_keying_material_is_exported(
    tls13: FakeSSPI, open_engine: MakeEngine, context: bytes
) -> None:
    tls13.facts.material = b"k" * 77

    result = open_engine().export(b"EXPERIMENTAL x", 77, context)  # 73

    assert ("OK", b"k" * 77) == result
    assert [(b"EXPERIMENTAL x\0", context, not context, 77)] == tls13.facts.exports


@pytest.mark.parametrize("version", [ClientBit.TLS_1_0, ClientBit.TLS_1_1, ClientBit.TLS_1_2])
def test_exporter_is_refused_before_tls13(
    tls13: FakeSSPI, open_engine: MakeEngine, version: ClientBit
) -> None:
    tls13.protocol = int(version)  # 73
    engine = open_engine()

    assert UNDEFINED == engine.channel_binding(EXPORTER)
    assert ("ERR_UNDEFINED", bytes(4)) == engine.export(b"EXPORTER-x", 4)
    assert [] == tls13.facts.exports


@pytest.mark.parametrize(("version", "lacks"), [(1, ""), (2, "member"), (5, "member")])
def test_old_function_table_has_no_exporter(
    tls13: FakeSSPI, open_engine: MakeEngine, version: int, lacks: str
) -> None:
    tls13.table.dwVersion = version  # 95
    if lacks:
        tls13.table.SetContextAttributesW = ffi.NULL
    engine = open_engine()

    result = engine.channel_binding(EXPORTER)

    assert ("ERR_SSPI", b"") == result
    assert ("SetContextAttributes", Status.SEC_E_UNSUPPORTED_FUNCTION) == (
        engine.error.call,
        engine.error.status,
    )
    assert ([], "OPEN") == (tls13.facts.exports, engine.state)


def test_refusal_of_the_description_is_told(tls13: FakeSSPI, open_engine: MakeEngine) -> None:
    tls13.facts.set_status = Status.SEC_E_INVALID_PARAMETER  # 73
    engine = open_engine()

    assert ("ERR_SSPI", bytes(8)) == engine.export(b"EXPORTER-x", 8)
    assert ("SetContextAttributes", Status.SEC_E_INVALID_PARAMETER) == (
        engine.error.call,
        engine.error.status,
    )


@pytest.mark.parametrize("material", [None, b"", b"k" * 31, b"k" * 33])
def test_material_of_another_length_is_refused(
    tls13: FakeSSPI, open_engine: MakeEngine, material: bytes | None
) -> None:
    tls13.facts.material = material  # 73; that it is freed is held by the fixture
    engine = open_engine()

    assert ("ERR_SSPI", b"") == engine.channel_binding(EXPORTER)
    assert "QueryContextAttributes" == engine.error.call


@pytest.mark.parametrize(
    ("label", "size", "context"),
    [
        (b"", 4, b""),
        (b"x" * 250, 4, b""),
        (b"\xe9", 4, b""),
        (b"x", 0, b""),
        (b"x", 4, b"c" * 65536),
    ],
    ids=["no_label", "long_label", "not_ascii", "no_bytes", "long_context"],
)
def test_impossible_export_is_misuse(
    tls13: FakeSSPI, open_engine: MakeEngine, label: bytes, size: int, context: bytes
) -> None:
    assert "ERR_MISUSE" == open_engine().export(label, size, context)[0]
    assert [] == tls13.facts.exports


def test_exporter_needs_room_for_all_of_it(tls13: FakeSSPI, open_engine: MakeEngine) -> None:
    assert ("ERR_MISUSE", b"") == open_engine().channel_binding(EXPORTER, 31)
