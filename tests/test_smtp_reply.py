from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schannel_ffi.smtp import RemoteProtocolError, Reply
from schannel_ffi.smtp.reply import MAX_LINE_BYTES, ReplyReader

CONVERSATION = b"220 hi\r\n250-one\r\n250-\r\n250 two\r\n354\r\n550 5.1.1 no\nrest"
REPLIES = [
    Reply(220, (b"hi",)),
    Reply(250, (b"one", b"", b"two")),
    Reply(354, (b"",)),
    Reply(550, (b"5.1.1 no",)),
]


def read_all(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies = []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next_reply()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize("split", range(len(CONVERSATION) + 1))
def test_replies_are_the_same_at_every_boundary(split: int) -> None:
    assert read_all(CONVERSATION[:split], CONVERSATION[split:]) == REPLIES


def test_replies_are_the_same_byte_by_byte() -> None:
    assert read_all(*(bytes([byte]) for byte in CONVERSATION)) == REPLIES


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"hello\r\n", "no SMTP reply", id="no_code"),
        pytest.param(b"\r\n", "no SMTP reply", id="empty_line"),
        pytest.param(b"25\r\n", "no SMTP reply", id="two_digits"),
        pytest.param(b"2500 x\r\n", "no SMTP reply", id="four_digits"),
        pytest.param(b"250_x\r\n", "no SMTP reply", id="wrong_separator"),
        pytest.param(b"100 x\r\n", "no SMTP reply", id="class_1yz"),
        pytest.param(b"600 x\r\n", "no SMTP reply", id="class_6yz"),
        pytest.param(b"\xb2\xb3\xb9 x\r\n", "no SMTP reply", id="digits_of_another_alphabet"),
        pytest.param(b"250-a\r\n251 b\r\n", "codes of one reply differ", id="codes_differ"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", "is this an SMTP server", id="http"),
        pytest.param(b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n", "line longer", id="long_line"),
        pytest.param(b"x" * (MAX_LINE_BYTES + 1), "line longer", id="endless_line"),
        pytest.param(b"250-" + b"x" * 8000 + b"\r\n", "", id="fits"),
        pytest.param((b"250-" + b"x" * 8000 + b"\r\n") * 9, "reply longer", id="long_reply"),
    ],
)
def test_malformed_replies_are_fatal(data: bytes, words: str) -> None:
    if not words:
        assert read_all(data) == []
        return
    with pytest.raises(RemoteProtocolError, match=words):
        read_all(data)


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=200))
def test_no_bytes_do_more_than_raise_our_error(data: bytes, split: int) -> None:
    try:
        whole = read_all(data)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            read_all(data[:split], data[split:])
    else:
        assert read_all(data[:split], data[split:]) == whole


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"5.7.1 no", (5, 7, 1)),
        (b"5.7.1", (5, 7, 1)),
        (b"4.7.1 class differs", None),
        (b"5.7.1no", None),
        (b"no 5.7.1", None),
        (b"5.1234.1 no", None),
        (b"", None),
    ],
)
def test_enhanced_status_is_read_where_it_agrees(
    line: bytes, status: tuple[int, int, int] | None
) -> None:
    assert Reply(550, (line,)).enhanced_status == status


@pytest.mark.parametrize(
    ("line", "queue_id"),
    [
        pytest.param(b"2.0.0 Ok: queued as 4F9D1954", "4F9D1954", id="postfix"),
        pytest.param(b"OK id=1rABcd-0001-2T", "1rABcd-0001-2T", id="exim"),
        pytest.param(b"2.6.0 <x@y> [InternalId=12, H=z] Queued mail", "12", id="exchange"),
        pytest.param(b"2.0.0 3AbC Message accepted for delivery", "3AbC", id="sendmail"),
        pytest.param(b"2.0.0 OK 1700 abc-20 - gsmtp", None, id="unknown_wording"),
    ],
)
def test_queue_id_is_found_in_known_wordings_only(line: bytes, queue_id: str | None) -> None:
    assert Reply(250, (line,)).queue_id == queue_id
    assert Reply(550, (line,)).queue_id is None


def test_text_has_no_control_characters_and_message_stays_short() -> None:
    reply = Reply(550, (b"a\x00b\x1b[31m\r", b"\xff\xe2\x80\xa8" + b"x" * 9000))

    assert reply.text.startswith("a?b?[31m? \\xff?x")
    assert len(str(reply)) < 320
    assert str(reply).startswith("550 a?b")
