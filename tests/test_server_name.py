"""What the user wrote becomes the one name that is looked up, sent as SNI and verified. No I/O."""

from __future__ import annotations

import pytest

from schannel_ffi.server_name import ServerName, ascii_host

DNS_NAMES = [
    pytest.param("mail.example.com", "mail.example.com", id="plain"),
    pytest.param("MAIL.example.com", "MAIL.example.com", id="case_is_kept"),
    pytest.param("mail.example.com.", "mail.example.com", id="trailing_dot"),
    pytest.param("localhost", "localhost", id="one_label"),
    pytest.param("a_b.example", "a_b.example", id="underscore"),
    pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="a_label"),
    pytest.param("bücher.example", "xn--bcher-kva.example", id="u_label"),
    pytest.param("BÜCHER.example.", "xn--bcher-kva.example", id="u_label_upper_case_and_dot"),
    pytest.param("bücher。example", "xn--bcher-kva.example", id="ideographic_full_stop"),
    pytest.param("straße.example", "strasse.example", id="idna_2003_maps_sharp_s"),
    pytest.param("1.2.3.4.example", "1.2.3.4.example", id="digits_first"),
    pytest.param(f"{'a' * 63}.example", f"{'a' * 63}.example", id="longest_label"),
    pytest.param(".".join(["a" * 62] * 4), ".".join(["a" * 62] * 4), id="long_name"),
]


@pytest.mark.parametrize(("text", "expected"), DNS_NAMES)
def test_dns_name_is_sent_as_a_labels_without_trailing_dot(text: str, expected: str) -> None:
    assert ServerName(dns_name=expected) == ServerName.parse(text)


@pytest.mark.parametrize(
    "text",
    ["mail.example.com", "bücher.example", "xn--bcher-kva.example", "[::1]", "127.0.0.1"],
)
def test_what_is_looked_up_is_what_is_verified(text: str) -> None:
    assert ServerName.parse(ascii_host(text)) == ServerName.parse(text)


ADDRESSES = [
    ("127.0.0.1", bytes([127, 0, 0, 1])),
    ("::1", bytes(15) + b"\1"),
    ("[::1]", bytes(15) + b"\1"),
    ("::ffff:10.0.0.1", bytes(10) + b"\xff\xff\n\0\0\1"),
    ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\1"),
]


@pytest.mark.parametrize(("text", "packed"), ADDRESSES)
def test_address_is_never_sent_as_a_name(text: str, packed: bytes) -> None:
    assert ServerName(ip_address=packed) == ServerName.parse(text)


NO_NAMES = [
    pytest.param("", id="empty"),
    pytest.param("[]", id="empty_brackets"),
    pytest.param(".", id="root"),
    pytest.param("a..b", id="empty_label"),
    pytest.param(".example", id="leading_dot"),
    pytest.param("example..", id="two_trailing_dots"),
    pytest.param(f"{'a' * 64}.example", id="label_too_long"),
    pytest.param(".".join(["a" * 63] * 4), id="name_too_long"),
    pytest.param("mail example", id="space"),
    pytest.param("mail\0.example", id="nul"),
    pytest.param("mail\r\n.example", id="line_end"),
    pytest.param("mail\x7f.example", id="delete"),
    pytest.param("bü cher.example", id="space_in_u_label"),
    pytest.param("\ud800.example", id="lone_surrogate"),
    pytest.param("ü" * 63 + ".example", id="u_label_too_long"),
]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host name|host"):
        ServerName.parse(text)
