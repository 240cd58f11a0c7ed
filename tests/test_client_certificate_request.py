"""`on_client_certificate`: who is asked, when, in which thread, and what it may do meanwhile (B93).

Over the model of Schannel, and over the system's own where that takes the server's part and asks.
"""

from __future__ import annotations

import gc
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from certs import HOST, Certificates
from clients import read_exactly
from engine_pair import EnginePair
from own_server import Accept, Configs, NewPair, client_certificate
from waits import PATIENCE_S, in_thread, interrupted

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    ClientAuthentication,
    ClientCertificate,
    EngineState,
    Renegotiation,
    SocketClosed,
    TLSConfig,
    TLSEngine,
    TLSError,
    TLSTimeout,
    Want,
)

pytest_plugins = ["server_fixtures"]
pytestmark = [pytest.mark.schannel, pytest.mark.usefixtures("asks_clients")]

REQUIRED = {"client_authentication": ClientAuthentication.REQUIRED}
OPTIONAL = {"client_authentication": ClientAuthentication.OPTIONAL}


class Chooser:
    """An `on_client_certificate` that remembers how it was called."""

    def __init__(
        self, answer: object = None, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self.answer, self.meanwhile = answer, meanwhile
        self.issuers: list[tuple[bytes, ...]] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, issuers: tuple[bytes, ...]) -> Any:
        self.issuers.append(issuers)
        self.threads.append(threading.current_thread())
        self.meanwhile()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def chosen(certificates: Certificates) -> ClientCertificate:
    return client_certificate(certificates.client_rsa)


def pair_with(new_pair: NewPair, chooser: Chooser, **server: Any) -> EnginePair:
    return new_pair(client={"on_client_certificate": chooser}, server=server or REQUIRED)


# --- the engine ---------------------------------------------------------------------------------


def test_chosen_certificate_is_presented(
    new_pair: NewPair, certificates: Certificates, chosen: ClientCertificate
) -> None:
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)

    pair.shake_hands()

    assert certificates.client_rsa.leaf_der == pair.server.getpeercert()
    assert ([threading.current_thread()], 1) == (chooser.threads, len(chooser.issuers))
    assert all(isinstance(name, bytes) for name in chooser.issuers[0])


def test_nothing_is_presented_where_none_is_chosen(new_pair: NewPair) -> None:
    chooser = Chooser(None)
    pair = pair_with(new_pair, chooser, **OPTIONAL)

    pair.shake_hands()

    assert ((), 1) == (pair.server.peer_certificates, len(chooser.issuers))


def test_nobody_is_asked_by_a_server_that_wants_no_certificate(new_pair: NewPair) -> None:
    chooser = Chooser(None)
    pair = pair_with(new_pair, chooser, client_authentication=ClientAuthentication.NONE)

    pair.shake_hands()

    assert [] == chooser.issuers


def test_exception_of_the_function_comes_out_and_the_question_stays(
    new_pair: NewPair, chosen: ClientCertificate
) -> None:
    chooser = Chooser(KeyError("no card in the reader"))
    pair = pair_with(new_pair, chooser)

    with pytest.raises(KeyError, match="no card"):
        pair.shake_hands()
    chooser.answer = chosen
    pair.shake_hands()

    assert 2 == len(chooser.issuers)


def test_answer_of_another_type_is_told(new_pair: NewPair) -> None:
    pair = pair_with(new_pair, Chooser("CN=me"))

    with pytest.raises(TypeError, match="not a str"):
        pair.shake_hands()


def test_function_may_look_at_the_engine(new_pair: NewPair, chosen: ClientCertificate) -> None:
    seen: list[object] = []
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)
    client = pair.client
    chooser.meanwhile = lambda: seen.extend([client.state, client.pending(), client.drain()])

    pair.shake_hands()

    assert [EngineState.HANDSHAKE, 0, b""] == seen


def test_function_may_close_the_engine(new_pair: NewPair, chosen: ClientCertificate) -> None:
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)
    chooser.meanwhile = pair.client.close

    with pytest.raises(SocketClosed):
        pair.shake_hands()


def test_another_thread_may_close_the_engine_meanwhile(
    new_pair: NewPair, chosen: ClientCertificate
) -> None:
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)

    def close_elsewhere() -> None:
        with in_thread(pair.client.close):
            pass

    chooser.meanwhile = close_elsewhere

    with pytest.raises(SocketClosed):
        pair.shake_hands()


def test_function_may_wait_for_another_thread_that_uses_the_engine(
    new_pair: NewPair, chosen: ClientCertificate
) -> None:
    seen: list[object] = []
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)

    def look_elsewhere() -> None:
        other = threading.Thread(target=lambda: seen.append(pair.client.pending()), daemon=True)
        other.start()
        other.join(5.0)
        seen.append(other.is_alive())

    chooser.meanwhile = look_elsewhere

    pair.shake_hands()

    assert [0, False] == seen  # B93: else it would wait for itself


def test_function_that_needs_its_own_answer_is_told(
    new_pair: NewPair, chosen: ClientCertificate
) -> None:
    chooser = Chooser(chosen)
    pair = pair_with(new_pair, chooser)
    chooser.meanwhile = pair.client.handshake

    with pytest.raises(TLSError, match="waits for its client certificate"):
        pair.shake_hands()


def test_other_threads_wait_for_the_answer_and_ask_no_more(
    new_pair: NewPair, chosen: ClientCertificate
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def think() -> None:
        is_asked.set()
        may_answer.wait(10.0)

    chooser = Chooser(chosen, think)
    pair = pair_with(new_pair, chooser)
    pair.client.handshake()
    pair.exchange()
    pair.server.handshake()
    pair.exchange()

    with in_thread(pair.client.handshake) as one:
        assert is_asked.wait(10.0)
        with in_thread(pair.client.handshake) as other:
            may_answer.set()
    pair.shake_hands()

    assert ([], [], 1) == (one.error, other.error, len(chooser.issuers))


# --- the question as an answer of the engine ----------------------------------------------------


def ask(pair: EnginePair) -> None:
    """Go on until the client wants a credential."""
    for _ in range(20):
        if pair.client.handshake() is Want.CREDENTIAL:
            return
        pair.exchange()
        pair.server.handshake()
        pair.exchange()
    raise AssertionError("nobody asked")


def test_engine_tells_the_question_to_who_wants_it_so(
    new_pair: NewPair, certificates: Certificates, chosen: ClientCertificate
) -> None:
    pair = new_pair(server=REQUIRED, asks_for_credential=True)
    ask(pair)

    issuers = pair.client.issuers
    pair.client.provide_credential(chosen)
    pair.shake_hands()

    assert isinstance(issuers, tuple)
    assert certificates.client_rsa.leaf_der == pair.server.getpeercert()


def test_no_certificate_is_an_answer(new_pair: NewPair) -> None:
    pair = new_pair(server=OPTIONAL, asks_for_credential=True)
    ask(pair)

    pair.client.provide_credential(None)
    pair.shake_hands()

    assert () == pair.server.peer_certificates


def test_answer_without_a_question_is_a_misuse(new_pair: NewPair) -> None:
    with pytest.raises(TLSError, match="does not allow"):
        new_pair().client.provide_credential(None)


# --- the identity and the wrong server ----------------------------------------------------------


def test_identity_is_not_shown_to_a_server_that_is_refused(
    new_pair: NewPair,
    certificates: Certificates,
    chosen: ClientCertificate,
    tls_version: ssl.TLSVersion,
) -> None:
    wrong = schannel_ffi.ServerCertificate.from_pem(
        certificates.server_rsa_only.chain_pem, certificates.server_rsa_only.key_pem
    )
    pair = new_pair(
        client={"client_certificate": chosen}, server={**REQUIRED, "server_certificate": wrong}
    )

    with pytest.raises(CertificateError, match="name mismatch"):
        pair.shake_hands()
    last_words = pair.client.drain()

    assert certificates.client_rsa.leaf_der not in last_words
    if tls_version is ssl.TLSVersion.TLSv1_3:  # before, it leaves ahead of the server's Finished
        assert (b"", EngineState.HANDSHAKE) == (last_words, pair.server.state)  # B85


# --- sockets ------------------------------------------------------------------------------------


def connect(address: tuple[str, int], config: TLSConfig, **how: Any) -> schannel_ffi.TLSSocket:
    return schannel_ffi.connect(address, config=config, server_hostname=HOST, **how)


def test_connect_asks_the_function(
    accept: Accept, configs: Configs, chosen: ClientCertificate
) -> None:
    chooser = Chooser(chosen)
    server = accept(**REQUIRED)

    with connect(server.address, configs.client(on_client_certificate=chooser)) as client:
        client.sendall(b"hello")
        assert b"hello" == read_exactly(client, 5)

    assert [threading.current_thread()] == chooser.threads
    assert server.outcome() is None


def test_exception_of_the_function_closes_the_connection(accept: Accept, configs: Configs) -> None:
    chooser = Chooser(KeyError("no card in the reader"))
    server = accept(**REQUIRED)

    with pytest.raises(KeyError):
        connect(server.address, configs.client(on_client_certificate=chooser))
    gc.collect()

    assert isinstance(server.outcome(), TLSError)


def test_time_in_the_function_counts(accept: Accept, configs: Configs) -> None:
    late = threading.Event()
    chooser = Chooser(None, lambda: late.wait(0.4))
    server = accept(**OPTIONAL)

    with pytest.raises(TLSTimeout):
        connect(server.address, configs.client(on_client_certificate=chooser), timeout=0.3)

    assert isinstance(server.outcome(), OSError)


def test_ctrl_c_ends_the_function_and_the_connection(accept: Accept, configs: Configs) -> None:
    def wait_long() -> None:
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            threading.Event().wait(0.05)

    server = accept(**REQUIRED)
    config = configs.client(on_client_certificate=Chooser(None, wait_long))

    waited = interrupted(lambda: connect(server.address, config))

    assert waited < PATIENCE_S
    assert isinstance(server.outcome(), OSError)


# --- settings -----------------------------------------------------------------------------------


def test_two_ways_to_a_certificate_are_one_too_many(chosen: ClientCertificate) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        TLSConfig(client_certificate=chosen, on_client_certificate=Chooser())


def test_function_is_a_part_of_the_settings_by_identity() -> None:
    one, other = Chooser(), Chooser()

    same = TLSConfig(on_client_certificate=one)

    assert same == TLSConfig(on_client_certificate=one)
    assert same != TLSConfig(on_client_certificate=other)
    assert hash(same) == hash(TLSConfig(on_client_certificate=one))


def test_only_the_function_can_answer_in_a_renegotiation() -> None:
    config = TLSConfig(renegotiation=Renegotiation.ALLOW)

    with pytest.raises(ValueError, match="on_client_certificate"):
        TLSEngine(config, server_hostname=HOST, asks_for_credential=True)
