from __future__ import annotations

import email
from email.message import EmailMessage, Message
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schannel_ffi.smtp import Capabilities, LocalProtocolError
from schannel_ffi.smtp.body import PIECE_BYTES, Body, canonical
from schannel_ffi.smtp.message import source_of

EIGHT_BIT = Capabilities({"8BITMIME": ""})
SEVEN_BIT = Capabilities()


def data_of(message: object, capabilities: Capabilities = EIGHT_BIT) -> bytes:
    return source_of(message).content(capabilities, smtputf8=False).data


def wire(message: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in Body.of(canonical(message)).pieces())


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        pytest.param(b"", b"\r\n.\r\n", id="empty"),
        pytest.param(b"a", b"a\r\n.\r\n", id="no_line_end"),
        pytest.param(b"a\r\n", b"a\r\n.\r\n", id="one_line_end_only"),
        pytest.param(b"a\r\n\r\n", b"a\r\n\r\n.\r\n", id="empty_last_line_is_kept"),
        pytest.param(b".", b"..\r\n.\r\n", id="first_byte"),
        pytest.param(b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n", id="end_of_data_inside"),
        pytest.param(b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n", id="lf_dot_lf"),
        pytest.param(b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n", id="cr_dot_cr"),
        pytest.param(b"a\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n", id="lf_dot_crlf"),
        pytest.param(b"a\r\n.\rb", b"a\r\n..\r\nb\r\n.\r\n", id="crlf_dot_cr"),
        pytest.param(b"a\r\r\n.\r\r\nb", b"a\r\n..\r\nb\r\n.\r\n", id="cr_crlf"),
        pytest.param(b"a\r", b"a\r\n.\r\n", id="last_cr"),
        pytest.param(b"..\r\n..", b"...\r\n...\r\n.\r\n", id="two_dots"),
        pytest.param(b"a.\r\n.b", b"a.\r\n..b\r\n.\r\n", id="dots_elsewhere"),
    ],
)
def test_bodies_end_once_and_hide_no_end(message: bytes, sent: bytes) -> None:
    assert wire(message) == sent


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a"]), max_size=30))
def test_any_mix_of_line_ends_and_dots_is_safe(parts: list[bytes]) -> None:
    sent = wire(b"".join(parts))

    assert sent.endswith(b"\r\n.\r\n")
    assert sent.find(b"\r\n.\r\n") == len(sent) - 5
    bare = sent.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    unstuffed = (b"\r\n" + sent[:-3]).replace(b"\r\n.", b"\r\n")[2:]
    assert unstuffed == canonical(b"".join(parts))


def test_a_canonical_message_is_not_copied() -> None:
    message = b"a\r\nb\r\n"

    assert canonical(message) is message


@pytest.mark.parametrize("size", [998, 999])
@pytest.mark.parametrize("before", [b"", b"x\r\n" * 700], ids=["first_line", "line_701"])
@pytest.mark.parametrize(
    "after", [b"", b"\r\n", b"\r\ny\r\n" * 700], ids=["open", "last", "middle"]
)
def test_lines_above_998_bytes_are_refused_by_number(
    size: int, before: bytes, after: bytes
) -> None:
    message = before + b"z" * size + after

    if size == 998:
        canonical(message)
        return
    with pytest.raises(LocalProtocolError, match=r"^line (1|701) of the message is longer"):
        canonical(message)


def test_stuffing_does_not_count_for_the_line_limit() -> None:
    assert wire(b"." * 998) == b"." * 999 + b"\r\n.\r\n"


def test_nul_is_refused_by_line() -> None:
    with pytest.raises(LocalProtocolError, match=r"line 3 .* NUL"):
        canonical(b"a\r\nb\nc\0d\r\n")


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_large_bodies_leave_in_pieces_and_only_the_last_ends(size: int) -> None:
    message = b"x\r\n" * ((size + PIECE_BYTES) // 3)
    pieces = Body.of(message).pieces()

    assert b"".join(bytes(piece) for piece in pieces) == message + b".\r\n"
    assert all(len(piece) <= PIECE_BYTES + 3 for piece in pieces)
    assert bytes(pieces[-1]).endswith(b".\r\n")


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: x@y.example\r\n",
        b"BCC:x@y.example\r\n",
        b"bCc : x@y.example\r\n",
        b"bcc\t:\r\n x@y.example,\r\n\tz@y.example\r\n",
        b"Resent-Bcc: x@y.example\r\n",
        b"RESENT-BCC  : x@y.example\r\n",
        b"Bcc: x@y.example\r\nBcc: z@y.example\r\n",
        b"Bcc: x@y.example\r\n \r\n z@y.example\r\n",
    ],
)
@pytest.mark.parametrize("place", range(3))
def test_bcc_is_cut_and_all_else_stays_byte_for_byte(field: bytes, place: int) -> None:
    lines = [b"Subject:  odd   spacing\r\n\tfolded\r\n", b"X-bcc-note: Bcc: stays\r\n"]
    body = b"\r\nBcc: this is text\r\n--\r\n\r\nResent-Bcc: too\r\n"
    lines.insert(place, field)

    assert data_of(b"".join(lines) + body) == (
        b"Subject:  odd   spacing\r\n\tfolded\r\nX-bcc-note: Bcc: stays\r\n" + body
    )


@pytest.mark.parametrize("end", [b"\n", b"\r"], ids=["lf", "cr"])
def test_bcc_is_cut_whatever_the_line_ends(end: bytes) -> None:
    message = end.join(
        [b"To: a@b.example", b"Bcc: x@y.example", b" z@y.example", b"", b"Bcc: text"]
    )

    assert data_of(message) == b"To: a@b.example\r\n\r\nBcc: text\r\n"


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        pytest.param(b"Bcc: a@b.example", b"", id="nothing_but_bcc"),
        pytest.param(b"\r\nBcc: text\r\n", b"\r\nBcc: text\r\n", id="no_header"),
        pytest.param(b"Bcc: a@b.example\r\n\r\nx", b"\r\nx\r\n", id="bcc_and_body"),
        pytest.param(b"A: b\r\nBcc: c@d.example", b"A: b\r\n", id="no_body"),
    ],
)
def test_bcc_at_the_edges(message: bytes, sent: bytes) -> None:
    assert data_of(message) == sent


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_a_message(kind: type) -> None:
    assert data_of(kind(b"A: b\r\n\r\nc\r\n")) == b"A: b\r\n\r\nc\r\n"


@pytest.mark.parametrize("message", ["text", None, 1, [b"x"]])
def test_other_types_are_type_errors(message: object) -> None:
    with pytest.raises(TypeError, match="EmailMessage or bytes"):
        source_of(message)


def test_fields_of_bytes_are_unfolded_and_utf8() -> None:
    fields = source_of("TO : a@b.example,\n  ü <c@d.example>\n\nx".encode()).fields()

    assert fields == [("to", "a@b.example,  ü <c@d.example>")]


def email_message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jürgen <a@b.example>"
    message["To"] = "c@d.example"
    message["BCC"] = "hidden@d.example"
    message["Subject"] = "grün"
    message.set_content("grüße\n.\n", cte="8bit")
    return message


def test_an_email_message_is_8_bit_where_the_server_takes_it() -> None:
    content = source_of(email_message()).content(EIGHT_BIT, smtputf8=False)

    assert content.is_8bit
    assert not content.needs_smtputf8
    assert "grüße\r\n.\r\n".encode() in content.data


@pytest.mark.parametrize("policy", ["default", "parsed", "compat32"])
def test_an_email_message_is_7_bit_for_other_servers(policy: str) -> None:
    message: Message = email_message()
    if policy == "parsed":
        message = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    if policy == "compat32":
        message = email.message_from_bytes(message.as_bytes())

    content = source_of(message).content(SEVEN_BIT, smtputf8=False)

    assert not content.is_8bit
    parsed = email.message_from_bytes(content.data, policy=email.policy.default)
    assert parsed.get_content() == "grüße\n.\n"


def test_bcc_of_an_email_message_stays_out_and_the_message_is_not_changed() -> None:
    message = email_message()
    message["Resent-Bcc"] = "hidden2@d.example"

    data = data_of(message)

    assert b"hidden" not in data
    assert message["bcc"] == "hidden@d.example"
    assert message["resent-bcc"] == "hidden2@d.example"


def test_an_attached_message_keeps_its_bcc() -> None:
    inner = EmailMessage()
    inner["Bcc"] = "inner@d.example"
    inner.set_content("x")
    outer = email_message()
    outer.add_attachment(inner)

    assert b"inner@d.example" in data_of(outer)


def test_from_lines_are_not_mangled() -> None:
    assert b"\r\nFrom here\r\n" in data_of(MIMEText("From here\n"))


def test_a_message_that_cannot_be_written_is_refused() -> None:
    message = EmailMessage()
    message._headers.append(("Subject", "a\nBcc: injected@d.example\n\nbody"))  # type: ignore[attr-defined]

    try:
        data = data_of(message)
    except LocalProtocolError:
        return
    assert b"injected" not in data


def test_raw_utf8_in_the_header_needs_smtputf8() -> None:
    content = source_of("Subject: ü\r\n\r\nx".encode()).content(EIGHT_BIT, smtputf8=False)

    assert content.needs_smtputf8


def test_message_objects_give_fields_with_parsed_addresses() -> None:
    fields = dict(source_of(email_message()).fields())

    assert fields["to"].addresses[0].addr_spec == "c@d.example"  # type: ignore[attr-defined]
