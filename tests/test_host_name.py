"""Is this certificate for that host? RFC 9525; the DER of subjectAltName is built here by hand."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schannel_ffi import _lib

pytestmark = pytest.mark.schannel

DNS, IP, EMAIL, URI, DIRECTORY, OTHER_NAME = 0x82, 0x87, 0x81, 0x86, 0xA4, 0xA0


def der(tag: int, content: bytes) -> bytes:
    """Return a DER element."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def san(*names: bytes | str | tuple[int, bytes]) -> bytes:
    """Return GeneralNames; a str or bytes is a dNSName."""
    parts = []
    for name in names:
        tag, content = (DNS, name) if isinstance(name, (str, bytes)) else name
        parts.append(der(tag, content.encode() if isinstance(content, str) else content))
    return der(0x30, b"".join(parts))


def ip(text: str) -> tuple[int, bytes]:
    return IP, ipaddress.ip_address(text).packed


def matches(extension: bytes, host: str | None = None, address: bytes = b"") -> bool:
    ffi, lib = _lib.require()
    data, octets = ffi.from_buffer("uint8_t[]", extension), ffi.from_buffer("uint8_t[]", address)
    name = ffi.NULL if host is None else ffi.new("wchar_t[]", host)
    names = ffi.new("schan_span *", {"data": data, "size": len(data)})
    bytes_of = ffi.new("schan_span *", {"data": octets, "size": len(octets)})
    result = lib.schan_host_name_matches(names[0], name, bytes_of[0])
    assert result in {0, 1}
    return bool(result)


LONG_LABEL, LONG_NAME = "a" * 63, ".".join(["a" * 49] * 5) + ".ab"

SAME = [  # presented, reference
    ("example.org", "example.org"),
    ("a.b.c.d.e.example.org", "a.b.c.d.e.example.org"),
    ("EXAMPLE.org", "example.ORG"),  # RFC 9525, 6.3: case does not count
    ("example.org.", "example.org"),  # the absolute form is the same name
    ("example.org", "example.org."),
    ("example.org.", "example.org."),
    ("localhost", "localhost"),
    ("a", "a"),
    ("123.example", "123.example"),
    ("_smtp.example.org", "_smtp.example.org"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    (LONG_LABEL + ".example", LONG_LABEL + ".example"),
    (LONG_NAME, LONG_NAME),
    ("*.example.org", "www.example.org"),
    ("*.example.org", "WWW.EXAMPLE.ORG"),
    ("*.example.org.", "www.example.org"),
    ("*.example.org", "www.example.org."),
    ("*.a.b.example.org", "x.a.b.example.org"),
    ("*.example.org", "xn--bcher-kva.example.org"),  # RFC 9525, 6.3: for the label as it stands
    ("*.example.org", LONG_LABEL + ".example.org"),
    ("*.co.uk", "example.co.uk"),  # a public suffix list is not ours to keep
]
DIFFERENT = [
    ("example.org", "example.com"),
    ("example.org", "www.example.org"),
    ("www.example.org", "example.org"),
    ("example.org", "xample.org"),
    ("xample.org", "example.org"),
    ("example.org", "example.org.evil.test"),
    ("example.org.evil.test", "example.org"),
    ("example.org..", "example.org"),
    (".example.org", "example.org"),
    (".example.org", "www.example.org"),
    ("example .org", "example.org"),
    (" example.org", "example.org"),
    ("example.org ", "example.org"),
    ("*.example.org", "example.org"),  # one label, not none
    ("*.example.org", "a.b.example.org"),  # and not two
    ("*.example.org", ".example.org"),
    ("*.example.org", "www.example.com"),
    ("*.example.org", "wwwexample.org"),
    ("www.*.org", "www.example.org"),  # only as the left-most label
    ("www.example.*", "www.example.org"),
    ("*.*.org", "www.example.org"),
    ("*.*.example.org", "a.b.example.org"),
    ("*", "localhost"),
    ("*", "example.org"),
    ("*.", "example"),
    ("*.org", "example.org"),  # too much in one hand
    ("*.com", "example.com"),
    ("*.localhost", "a.localhost"),
    ("*.org.", "example.org"),
    ("f*o.example", "foo.example"),  # RFC 9525, 6.3: the whole label or nothing
    ("f*.example.org", "foo.example.org"),
    ("*o.example.org", "foo.example.org"),
    ("w*w.example.org", "www.example.org"),
    ("**.example.org", "www.example.org"),
    ("*www.example.org", "www.example.org"),
    ("xn--*.example.org", "xn--bcher-kva.example.org"),
    ("*..org", "www..org"),
    ("*..example.org", "www..example.org"),
    ("bücher.example", "bücher.example"),  # U-labels have no place in a certificate
    ("example.org", "\u0435xample.org"),
    ("example.org", ""),
    ("", "example.org"),
    ("", ""),
    (".", "."),
    (".", ""),
    ("*.example.org", "*.example.com"),
    ("127.0.0.1", "example.org"),
]


@pytest.mark.parametrize(("presented", "reference"), SAME)
def test_names_that_match(presented: str, reference: str) -> None:
    assert matches(san(presented), reference)


@pytest.mark.parametrize(("presented", "reference"), DIFFERENT)
def test_names_that_do_not_match(presented: str, reference: str) -> None:
    assert not matches(san(presented), reference)


@pytest.mark.parametrize("at", range(len("example.org") + 1))
def test_nul_inside_a_name_ends_nothing(at: int) -> None:
    good = b"example.org"
    name = good[:at] + b"\0" + good[at:]

    assert not matches(san(name), "example.org")
    assert not matches(san(b"example.org\0.evil.test", b"\0"), "example.org")


@pytest.mark.parametrize("char", ["\u0130", "\u212a", "\u017f", "\uff45", "\u0100e"[0]])
def test_lookalikes_are_not_folded_into_ascii(char: str) -> None:
    assert not matches(san("kes.example"), f"{char}es.example")
    assert not matches(san("Ekes.example"), f"{char}kes.example")


@pytest.mark.parametrize("low", [0x165, 0x265, 0xFF65])
def test_wide_characters_are_not_cut_to_their_low_byte(low: int) -> None:
    assert not matches(san("example.org"), chr(low) + "xample.org")  # low byte is "e"


# ------------------------------------------------------------------------------------ IP addresses

V4, V6 = ipaddress.ip_address("192.0.2.1").packed, ipaddress.ip_address("2001:db8::1").packed
MAPPED = ipaddress.ip_address("::ffff:192.0.2.1").packed

ADDRESSES = [  # names, address, whether it matches
    ([ip("192.0.2.1")], V4, True),
    ([ip("2001:db8::1")], V6, True),
    ([ip("192.0.2.2"), ip("192.0.2.1")], V4, True),
    ([ip("192.0.2.2")], V4, False),
    ([ip("2001:db8::2")], V6, False),
    ([ip("::ffff:192.0.2.1")], MAPPED, True),
    ([ip("::ffff:192.0.2.1")], V4, False),
    ([ip("192.0.2.1")], MAPPED, False),
    ([(IP, V4 + V4)], V4, False),  # an address with a mask is a name constraint
    ([(IP, V4[:3])], V4, False),
    ([(IP, b"")], V4, False),
    ([(IP, b"192.0.2.1")], V4, False),
    (["192.0.2.1"], V4, False),  # RFC 9525, 6.5: never by a DNS name
    (["*.0.2.1"], V4, False),
    (["*"], V4, False),
    ([(URI, b"192.0.2.1")], V4, False),
    ([], V4, False),
]


@pytest.mark.parametrize(("names", "address", "is_match"), ADDRESSES)
def test_addresses_are_compared_as_bytes(
    names: list[str | tuple[int, bytes]], address: bytes, *, is_match: bool
) -> None:
    assert is_match == matches(san(*names), None, address)


def test_host_name_is_never_an_address() -> None:
    assert not matches(san(ip("192.0.2.1")), "192.0.2.1")
    assert not matches(san((IP, b"example.org")), "example.org")


@pytest.mark.parametrize("presented", ["*.0.2.1", "*.2.1"])
def test_wildcard_does_not_stand_for_a_part_of_an_address(presented: str) -> None:
    assert not matches(san(presented), None, V4)


def test_nothing_to_compare_matches_nothing() -> None:
    assert not matches(san("example.org", ip("192.0.2.1")), None, b"")
    assert not matches(san("", (IP, b"")), "", b"")


# --------------------------------------------------------------------------------------- many names

OTHERS: list[bytes | str | tuple[int, bytes]] = [
    (EMAIL, b"example.org"),
    (URI, b"https://example.org"),
    (DIRECTORY, der(0x30, b"")),
    (OTHER_NAME, der(0x06, b"\x2a\x03")),
    "other.example",
    ip("192.0.2.1"),
]


@pytest.mark.parametrize("place", range(len(OTHERS) + 1))
def test_right_name_is_found_among_others(place: int) -> None:
    names = [*OTHERS[:place], "example.org", *OTHERS[place:]]

    assert matches(san(*names), "example.org")
    assert not matches(san(*OTHERS), "example.org")


@pytest.mark.parametrize("count", [1, 100, 5000], ids="names_{}".format)
def test_length_of_any_size(count: int) -> None:
    names = [f"host-{i}.example.org" for i in range(count)]

    assert matches(san(*names, "example.com"), "example.com")
    assert not matches(san(*names), "example.com")


# ------------------------------------------------------------------------------------ malformed DER

GOOD = san("example.org")
MALFORMED = {
    "empty": b"",
    "tag_alone": b"\x30",
    "no_sequence": b"\x31" + GOOD[1:],
    "bytes_behind": GOOD + b"\0",
    "two_sequences": GOOD + GOOD,
    "too_long": bytes((0x30, len(GOOD) - 1)) + GOOD[2:],
    "too_short": bytes((0x30, len(GOOD) - 3)) + GOOD[2:],
    "indefinite": b"\x30\x80" + GOOD[2:] + b"\0\0",
    "long_form_of_short": b"\x30\x81" + GOOD[1:],
    "leading_zero": b"\x30\x82\x00" + GOOD[1:],
    "length_of_4": b"\x30\x84\x00\x00\x00" + GOOD[1:],
    "length_of_126": b"\x30\xfe" + b"\xff" * 126,
    "reserved_length": b"\x30\xff" + GOOD[1:],
    "length_missing": b"\x30\x82\x01",
    "huge": b"\x30\x83\xff\xff\xff" + GOOD[2:],
    "huge_name": der(0x30, b"\x82\x83\xff\xff\xffexample.org"),
    "name_too_long": der(0x30, b"\x82\x0cexample.org"),
    "name_indefinite": der(0x30, b"\x82\x80example.org\0\0"),
    "name_long_form": der(0x30, b"\x82\x81\x0bexample.org"),
    "torn_name_behind": der(0x30, GOOD[2:] + b"\x82"),
    "torn_length_behind": der(0x30, GOOD[2:] + b"\x82\x82\x01"),
    "overlong_behind": der(0x30, GOOD[2:] + b"\x82\x05abc"),
    "constructed_name": der(0x30, der(0xA2, b"example.org")),
    "universal_string": der(0x30, der(0x16, b"example.org")),
}


@pytest.mark.parametrize("extension", MALFORMED.values(), ids=MALFORMED)
def test_malformed_extension_matches_nothing(extension: bytes) -> None:
    assert not matches(extension, "example.org")


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_extension_cut_anywhere_matches_nothing(size: int) -> None:
    assert not matches(GOOD[:size], "example.org")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=40), st.sampled_from([b"", V4, V6]))
def test_any_bytes_are_survived(extension: bytes, host: str, address: bytes) -> None:
    matches(extension, host.replace("\0", ""), address)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_extension_is_survived(data: st.DataObject) -> None:
    whole = bytearray(san("a.example", ip("192.0.2.1"), "*.example.org", "z" * 200))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))

    matches(bytes(whole[: data.draw(st.integers(0, len(whole)))]), "www.example.org", V4)


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=5)


@settings(max_examples=300, deadline=None)
@given(names, names)
def test_matcher_agrees_with_the_rule_in_a_sentence(one: list[str], two: list[str]) -> None:
    presented, reference = ".".join(one), ".".join(two)

    assert (one == two) == matches(san(presented), reference)
    wildcard = len(one) >= 2 and len(one) + 1 == len(two) and one == two[1:]
    assert wildcard == matches(san("*." + presented), reference)
    assert matches(san("*." + presented), "x." + presented)
