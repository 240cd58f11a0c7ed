from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schannel_ffi.smtp import LocalProtocolError
from schannel_ffi.smtp.envelope import Address, Envelope, recipients_from, sender_from


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        pytest.param("a@b.example", b"a@b.example", id="simple"),
        pytest.param("A.b+c@B.Example", b"A.b+c@B.Example", id="case_is_kept"),
        pytest.param('"a b"@c.example', b'"a b"@c.example', id="quoted_space"),
        pytest.param('"plain"@c.example', b"plain@c.example", id="needless_quotes_go"),
        pytest.param(r'"a\"b\\"@c.example', rb'"a\"b\\"@c.example', id="quoted_pairs"),
        pytest.param(r'"a\>b"@c.example', b'"a>b"@c.example', id="needless_escape_goes"),
        pytest.param('"a@b"@c.example', b'"a@b"@c.example', id="quoted_at"),
        pytest.param("a..b@c.example", b'"a..b"@c.example', id="two_dots_get_quotes"),
        pytest.param("a@[192.0.2.1]", b"a@[192.0.2.1]", id="ipv4_literal"),
        pytest.param("a@[IPv6:2001:db8::1]", b"a@[IPv6:2001:db8::1]", id="ipv6_literal"),
        pytest.param("a@bücher.example", b"a@xn--bcher-kva.example", id="idn"),
        pytest.param("ä@bücher.example", b"\xc3\xa4@xn--bcher-kva.example", id="smtputf8"),
        pytest.param("Postmaster", b"Postmaster", id="postmaster"),
        pytest.param("a@localhost", b"a@localhost", id="one_label"),
    ],
)
def test_addresses_are_written_from_their_parts(text: str, encoded: bytes) -> None:
    assert Address.parse(text).encoded == encoded


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a@b.example\r\nRCPT TO:<x@y>", id="crlf"),
        pytest.param("a\n@b.example", id="lf"),
        pytest.param("a\r@b.example", id="cr"),
        pytest.param("a\0@b.example", id="nul"),
        pytest.param("a\x7f@b.example", id="del"),
        pytest.param("a\x85@b.example", id="c1"),
        pytest.param("a@b.example\u2028", id="line_separator"),
        pytest.param('"a\r\nb"@c.example', id="quoted_crlf"),
        pytest.param("a@b.example> SIZE=1", id="parameter"),
        pytest.param("a>b@c.example", id="bracket"),
        pytest.param("<a@b.example>", id="angle_brackets"),
        pytest.param("Bob <a@b.example>", id="display_name"),
        pytest.param("a b@c.example", id="space"),
        pytest.param("a@b c.example", id="space_in_domain"),
        pytest.param("a@b.example ", id="trailing_space"),
        pytest.param('"a"b@c.example', id="text_after_quotes"),
        pytest.param('"a@c.example', id="open_quote"),
        pytest.param('"a" ORCPT=rfc822;x@c.example', id="quote_and_parameter"),
        pytest.param("a", id="no_domain"),
        pytest.param("a@", id="empty_domain"),
        pytest.param("@b.example", id="empty_local_part"),
        pytest.param("", id="empty"),
        pytest.param("a@b..example", id="empty_label"),
        pytest.param("a@-b.example", id="hyphen_first"),
        pytest.param("a@[1.2.3.4", id="open_literal"),
        pytest.param("a@[1.2.3.4]>", id="after_literal"),
        pytest.param("a@b@c.example", id="two_ats"),
        pytest.param("a@" + "b" * 64 + ".example", id="label_too_long"),
        pytest.param("a" * 600 + "@b.example", id="too_long"),
        pytest.param("\udcff@b.example", id="surrogate"),
        pytest.param("a@\udcff.example", id="surrogate_in_domain"),
    ],
)
def test_bad_addresses_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Address.parse(text)

    assert "\n" not in str(caught.value)
    assert "\r" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_reaches_a_command_line_unescaped(text: str) -> None:
    try:
        encoded = Address.parse(text).encoded
    except LocalProtocolError:
        return
    assert not set(encoded) & {0, 10, 13}
    assert Address.parse(encoded.decode()).encoded == encoded


def test_equal_recipients_are_one_and_every_spelling_is_kept() -> None:
    envelope = Envelope.of("", ["a@b.example", "c@d.example", "a@B.EXAMPLE", "a@b.example"])

    assert [address.encoded for address in envelope.recipients] == [
        b"a@b.example",
        b"c@d.example",
    ]
    assert envelope.spellings == {"a@b.example": 0, "c@d.example": 1, "a@B.EXAMPLE": 0}
    assert envelope.sender is None


def test_one_recipient_may_be_a_plain_string() -> None:
    assert len(Envelope.of("", "a@b.example").recipients) == 1


def test_no_recipients_is_an_error_with_a_hint() -> None:
    with pytest.raises(LocalProtocolError, match="no recipients; pass recipients="):
        Envelope.of("a@b.example", [])


FROM = ("from", "f@x.example")
TO = ("to", "T One <t1@x.example>, t2@x.example")


@pytest.mark.parametrize(
    ("fields", "sender"),
    [
        pytest.param([FROM], "f@x.example", id="from"),
        pytest.param([FROM, ("sender", "S <s@x.example>")], "s@x.example", id="sender_wins"),
        pytest.param([("from", "a@x.example, b@x.example")], "a@x.example", id="first_author"),
        pytest.param([FROM, ("resent-from", "r@x.example")], "r@x.example", id="resent"),
        pytest.param(
            [("resent-from", "r@x.example"), ("resent-sender", "rs@x.example"), FROM],
            "rs@x.example",
            id="resent_sender",
        ),
    ],
)
def test_sender_from_fields(fields: list[tuple[str, object]], sender: str) -> None:
    assert sender_from(fields) == sender


@pytest.mark.parametrize(
    ("fields", "recipients"),
    [
        pytest.param(
            [TO, ("bcc", "b@x.example"), ("cc", "c@x.example")],
            ["t1@x.example", "t2@x.example", "c@x.example", "b@x.example"],
            id="to_cc_bcc",
        ),
        pytest.param(
            [("to", "grp: a@x.example, b@x.example;")], ["a@x.example", "b@x.example"], id="group"
        ),
        pytest.param([("to", "undisclosed-recipients:;")], [], id="empty_group"),
        pytest.param(
            [("to", "=?utf-8?q?a=2C_b=40c?= <d@x.example>")], ["d@x.example"], id="encoded_word"
        ),
        pytest.param([("to", "Jürgen <d@x.example>")], ["d@x.example"], id="raw_utf8"),
        pytest.param([("to", '"a b"@x.example')], ['"a b"@x.example'], id="quoted"),
        pytest.param(
            [TO, ("resent-to", "r@x.example"), ("subject", "s"), ("resent-bcc", "rb@x.example")],
            ["r@x.example", "rb@x.example"],
            id="resent_once_anywhere",
        ),
        pytest.param(
            [
                ("resent-date", "2"), ("resent-to", "new@x.example"),
                ("resent-date", "1"), ("resent-to", "old@x.example"),
                ("resent-cc", "oldcc@x.example"), TO,
            ],
            ["new@x.example"],
            id="resent_twice_first_block_counts",
        ),
        pytest.param(
            [
                ("resent-to", "new@x.example"), ("received", "x"),
                ("resent-cc", "oldcc@x.example"), ("resent-to", "old@x.example"),
            ],
            ["new@x.example"],
            id="blocks_parted_by_another_field",
        ),
    ],
)  # fmt: skip
def test_recipients_from_fields(fields: list[tuple[str, object]], recipients: list[str]) -> None:
    assert recipients_from(fields) == recipients


@pytest.mark.parametrize(
    "value",
    ["nobody", "a@x.example; b@x.example", "a b@x.example", "a@x.example)b@y", "<a@x.example"],
)
def test_fields_that_hide_or_bend_addresses_are_refused(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="To field"):
        recipients_from([("to", value)])


def test_a_message_without_sender_is_an_error_with_a_hint() -> None:
    with pytest.raises(LocalProtocolError, match="pass sender="):
        sender_from([TO])
