"""Names that are not ASCII: what is looked up, sent as SNI and compared (row 99)."""

from __future__ import annotations

import pytest

from schannel_ffi.server_name import ServerName, ascii_host

NAMES = [
    ("bücher.example", "xn--bcher-kva.example"),
    ("BÜCHER.example", "xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("xn--strae-oqa.example", "xn--strae-oqa.example"),  # of IDNA 2008 alone: it passes
    ("straße.example", "strasse.example"),  # IDNA 2003
    ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ("bücher.example.", "xn--bcher-kva.example"),
]


@pytest.mark.parametrize(("name", "a_labels"), NAMES, ids=ascii)
def test_name_becomes_a_labels_once_for_sni_and_matcher(name: str, a_labels: str) -> None:
    found = ServerName.parse(name)

    assert (a_labels, None) == (found.dns_name, found.ip_address or None)
    assert a_labels == ascii_host(name).removesuffix(".")


@pytest.mark.parametrize("name", ["ü" * 64, "a..ü", "\u2028.example", "ü\u0000"], ids=ascii)
def test_name_without_an_ascii_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        ServerName.parse(name)
