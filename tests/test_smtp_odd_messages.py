"""Messages nobody means to write: no Bcc leaks, and what cannot be read is said in one line."""

from __future__ import annotations

import email
import time
from email import policy
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from typing import Any

import pytest
from smtp_samples import OpenSession, StartServer

from schannel_ffi.smtp import Capabilities, LocalProtocolError
from schannel_ffi.smtp.body import canonical
from schannel_ffi.smtp.envelope import recipients_from, sender_from
from schannel_ffi.smtp.message import source_of

pytest_plugins = ["smtp_fixtures"]

EIGHT_BIT = Capabilities({"8BITMIME": ""})
MARK = b"\xef\xbb\xbf"
DEEP = "(" * 800 + "\r\n " + "(" * 800 + " b@x.org"


def data_of(message: object) -> bytes:
    return source_of(message).content(EIGHT_BIT, smtputf8=False).data


def parse(header: str) -> EmailMessage:
    text = f"{header}\r\n\r\nhello\r\n"
    return email.message_from_string(text, _class=EmailMessage, policy=policy.default)


@pytest.mark.parametrize(
    "field",
    [
        "Message-ID: <",
        'Reply-To: "',
        "Date: Mon, 23 Nov 2026 12:00:00 +99999999999999",
        "X-Anything: =?",
        f"Reply-To: {DEEP}",
    ],
    ids=["message_id", "reply_to", "date", "other", "deep_reply_to"],
)
def test_fields_without_addresses_of_ours_are_not_parsed(field: str) -> None:
    fields = source_of(parse(f"From: a@x.org\r\n{field}\r\nTo: b@x.org")).fields()

    assert sender_from(fields) == "a@x.org"
    assert recipients_from(fields) == ["b@x.org"]


@pytest.mark.parametrize("kind", ["object", "bytes"])
@pytest.mark.parametrize(
    "value",
    ['"', "undisclosed:;<", "=?utf-8?q?=0ABcc:_x?=;", "a@[ ", "a@[", "<", "=?", DEEP],
    ids=["quote", "group", "encoded_group", "open_literal", "short", "angle", "encoded", "deep"],
)
def test_an_address_field_is_read_or_refused_in_one_line(value: str, kind: str) -> None:
    message = parse(f"From: a@x.org\r\nTo: {value}")
    source = source_of(message if kind == "object" else f"To: {value}\r\n\r\nx\r\n".encode())

    found: list[str] = []
    error = "the To field: no error"
    try:
        found = recipients_from(source.fields())
    except LocalProtocolError as exc:
        error = str(exc)

    assert all(isinstance(address, str) for address in found)
    assert error.startswith("the To field")
    assert "\n" not in error


def test_a_header_nested_too_deeply_is_refused_and_the_session_goes_on(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server()
    session = open_session(server)

    with pytest.raises(LocalProtocolError, match="the To field cannot be read"):
        session.send(f"From: a@x.org\r\nTo: {DEEP}\r\n\r\nhello\r\n".encode())

    assert session.send(b"From: a@x.org\r\nTo: b@x.org\r\n\r\nhello\r\n").all_delivered


def test_multiparts_nested_too_deeply_are_refused() -> None:
    message: Message = MIMEMultipart()
    for _ in range(2000):
        outer = MIMEMultipart()
        outer.attach(message)
        message = outer

    with pytest.raises(LocalProtocolError, match="cannot be serialised") as caught:
        data_of(message)

    assert "\n" not in str(caught.value)


def test_headers_of_the_older_interface_are_read() -> None:
    message: Message[Any, Any] = Message()
    message["From"] = email.header.Header("Jörg <a@x.org>", "utf-8")
    message["To"] = "b@x.org,\r\n c@x.org"

    fields = source_of(message).fields()

    assert recipients_from(fields) == ["b@x.org", "c@x.org"]


def test_the_latest_resending_counts_in_objects_as_in_bytes() -> None:
    text = (
        "Resent-From: r@x.org\r\nResent-To: one@x.org\r\nReceived: by x\r\n"
        "Resent-From: q@x.org\r\nResent-To: two@x.org\r\nFrom: a@x.org\r\nTo: b@x.org"
    )

    found = [
        recipients_from(source_of(message).fields())
        for message in (parse(text), f"{text}\r\n\r\n".encode())
    ]

    assert found == [["one@x.org"], ["one@x.org"]]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r\r\n"], ids=["crlf", "lf", "cr_crlf"])
def test_a_byte_order_mark_hides_no_bcc(line_end: bytes) -> None:
    message = MARK + line_end.join([b"Bcc: secret@x.org", b"From: a@x.org", b"", b"hello", b""])

    source = source_of(message)

    assert data_of(message) == b"From: a@x.org\r\n\r\nhello\r\n"
    assert recipients_from(source.fields()) == ["secret@x.org"]


@pytest.mark.parametrize("line_end", [b"\r\r\n", b"\r\r\r\n"], ids=["two_cr", "three_cr"])
def test_cr_cr_lf_ends_a_line_once_and_shows_no_bcc(line_end: bytes) -> None:
    lines = [b"From: a@x.org", b"Bcc: secret@x.org", b"To: b@x.org", b"", b"a", b"", b"b", b""]

    assert data_of(line_end.join(lines)) == (b"From: a@x.org\r\nTo: b@x.org\r\n\r\na\r\n\r\nb\r\n")


def test_line_numbers_count_cr_cr_lf_once() -> None:
    with pytest.raises(LocalProtocolError, match="line 3 of"):
        canonical(b"a\r\r\nb\r\r\n\0\r\r\n")


def test_a_run_of_cr_takes_no_quadratic_time() -> None:
    started = time.monotonic()

    assert canonical(b"a\r\r\n" + b"\r" * 300_000) == b"a\r\n" + b"\r\n" * 300_000
    assert time.monotonic() - started < 5


def test_a_bcc_that_does_not_leave_needs_no_smtputf8(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(capabilities=("8BITMIME",))
    message = "From: a@x.org\r\nTo: b@x.org\r\nBcc: Jörg <c@x.org>\r\n\r\nGrüße\r\n".encode()

    result = open_session(server).send(message)

    assert result.all_delivered
    assert server.messages[0].parameters == ("BODY=8BITMIME",)
    assert b"Bcc" not in server.messages[0].data


@pytest.mark.parametrize("kind", ["object", "bytes"])
def test_an_address_field_above_the_limit_is_refused_at_once(kind: str) -> None:
    header = "To: " + ",\r\n ".join(f"b{number}@x.org" for number in range(6000))
    source = source_of(parse(header) if kind == "object" else f"{header}\r\n\r\n".encode())
    started = time.monotonic()

    with pytest.raises(LocalProtocolError, match=r"longer than 65536 .*pass .*recipients="):
        recipients_from(source.fields())

    assert time.monotonic() - started < 5
