from __future__ import annotations

import pytest

from schannel_ffi.smtp import LocalProtocolError, Reply
from schannel_ffi.smtp.auth import Login, Plain, choose, mechanisms_for
from schannel_ffi.smtp.command import Capabilities, client_name, mail, rcpt
from schannel_ffi.smtp.envelope import Address
from schannel_ffi.smtp.errors import AuthenticationError


def offered(*lines: bytes) -> Capabilities:
    return Capabilities.parse(Reply(250, (b"host greets", *lines)))


def test_capabilities_are_read_in_any_case_and_junk_is_passed_over() -> None:
    capabilities = offered(b"pipelining", b"Size 1000 ", b"", b"!junk", b"X-\xff", b"8BITMIME")

    assert set(capabilities.keywords) == {"PIPELINING", "SIZE", "8BITMIME"}
    assert capabilities.size_limit == 1000


@pytest.mark.parametrize(
    ("line", "limit"),
    [(b"SIZE", None), (b"SIZE 0", None), (b"SIZE 5", 5), (b"SIZE x", None), (b"SIZE -5", None)],
)
def test_size_limit(line: bytes, limit: int | None) -> None:
    assert offered(line).size_limit == limit


def test_auth_mechanisms_of_both_spellings_are_merged() -> None:
    assert offered(b"AUTH=LOGIN", b"auth plain LOGIN").auth_mechanisms == (
        "LOGIN",
        "PLAIN",
        "LOGIN",
    )


def test_the_greeting_line_is_no_capability() -> None:
    reply = Reply(250, (b"PIPELINING", b"SIZE"))

    assert "PIPELINING" not in Capabilities.parse(reply)


@pytest.mark.parametrize("name", ["", "a b", "a\r\nMAIL", "a\n", "é", "[1.2.3.4", "-x", "x" * 256])
def test_bad_client_names_are_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        client_name(name)


@pytest.mark.parametrize("name", ["host", "a.b-c.d_e", "[127.0.0.1]", "[IPv6:::1]"])
def test_good_client_names_stay(name: str) -> None:
    assert client_name(name) == name


def test_commands_are_whole_lines() -> None:
    address = Address.parse("a@b.example")

    assert mail(address, (b"SIZE=1", b"BODY=8BITMIME")) == (
        b"MAIL FROM:<a@b.example> SIZE=1 BODY=8BITMIME\r\n"
    )
    assert mail(None) == b"MAIL FROM:<>\r\n"
    assert rcpt(address) == b"RCPT TO:<a@b.example>\r\n"


def test_plain_is_preferred_and_secrets_are_in_no_repr() -> None:
    mechanisms = mechanisms_for(("user", "geheim"))

    assert choose(mechanisms, ("LOGIN", "PLAIN")).name == "PLAIN"
    assert choose(mechanisms, ("LOGIN", "XOAUTH2")).name == "LOGIN"
    assert "geheim" not in repr(mechanisms)


@pytest.mark.parametrize("mechanisms", [(), ("GSSAPI",)])
def test_no_common_mechanism_is_an_authentication_error(mechanisms: tuple[str, ...]) -> None:
    with pytest.raises(AuthenticationError):
        choose(mechanisms_for(("u", "p")), mechanisms)


@pytest.mark.parametrize("login", ["user:password", ("u",), ("u", b"p"), 1, ("u", "p", "x")])
def test_logins_of_the_wrong_shape_are_type_errors(login: object) -> None:
    with pytest.raises(TypeError, match="tuple of two"):
        mechanisms_for(login)


def test_nul_in_credentials_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        mechanisms_for(("u\0x", "p"))


def test_responses() -> None:
    assert list(Plain("ü", "p").exchange("mx")) == [b"\0\xc3\xbc\0p"]
    assert list(Login("u", "p").exchange("mx")) == [b"u", b"p"]
