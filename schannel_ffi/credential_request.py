"""Servers that ask for a client certificate, answered by the function of the settings (B93).

The function is the user's: it runs with no lock held, in the thread whose call met the request, and
may use the connection or close it. Other threads' calls on the connection wait for its answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from schannel_ffi import _lib
from schannel_ffi.config import ClientCertificate, TLSConfig
from schannel_ffi.errors import TLSError, TLSTimeout
from schannel_ffi.handle_use import HandleUse, give_back, take_turn, time_left

__all__ = ["CredentialRequests", "with_certificate"]

T = TypeVar("T")


class CredentialRequests:
    """The requests of one connection."""

    def __init__(self, config: TLSConfig, use: HandleUse, owner: _lib.EngineOwner) -> None:
        """Answer for the engine of `owner`, whose users `use` counts."""
        self._config, self._use, self._owner = config, use, owner
        self._turn = threading.RLock()  # one thread asks, others wait
        self._is_asking = False
        self._answers = 0

    def answering(
        self, call: Callable[[], T], deadline: float, give_up: Callable[[], None] = lambda: None
    ) -> T:
        """Return the result of `call`, which is made again behind a request that it met.

        `give_up` is called when the user's function, or what it chose, raises an exception.

        Raises:
            TLSTimeout: another thread's function did not answer in time.
            TLSError: the function itself makes a call that needs its answer.
            Whatever the function raises.
        """
        while True:
            answers = self._answers
            try:
                return call()
            except _lib.CredentialWanted:
                if self._config.on_client_certificate is None:
                    raise
                self._answer(answers, deadline, give_up)

    def _answer(self, answers: int, deadline: float, give_up: Callable[[], None]) -> None:
        doing = "waiting for the client certificate"
        try:
            self._use.wait(take_turn(self._turn), deadline, doing)
            if self._is_asking:
                hint = "on_client_certificate may close it, and ask for what needs no records"
                raise TLSError("the connection waits for its client certificate", hint=hint)
            if answers == self._answers:  # else another thread has answered meanwhile
                self._ask(deadline, give_up)
                self._answers += 1
        finally:
            give_back(self._turn)

    def _ask(self, deadline: float, give_up: Callable[[], None]) -> None:
        function = self._config.on_client_certificate
        assert function is not None, "the engine asks only where there is one"
        issuers = self._alone(self._owner.issuers, deadline)
        self._is_asking = True
        try:
            chosen = with_certificate(self._config, function(issuers))  # B93: no lock held
        except BaseException:
            give_up()
            raise
        finally:
            self._is_asking = False
        try:
            self._alone(lambda: self._owner.provide_credential(chosen), deadline)
        except TLSTimeout:  # another thread's call lasts too long: the question stays
            raise
        except BaseException:
            give_up()
            raise

    def _alone(self, step: Callable[[], T], deadline: float) -> T:
        """Call the engine while nobody else does."""
        use, doing = self._use, "presenting a client certificate"

        def with_both_turns(_: int) -> tuple[T]:
            left = time_left(deadline)
            return use.call(use.writing, lambda _: (step(),), doing=doing, timeout=left)

        left = time_left(deadline)
        return use.call(use.reading, with_both_turns, doing=doing, timeout=left)[0]


def with_certificate(config: TLSConfig, certificate: object) -> TLSConfig | None:
    """Return the settings that present a certificate; None for none."""
    if certificate is None:
        return None
    if not isinstance(certificate, ClientCertificate):
        kind = type(certificate).__name__
        raise TypeError(f"a ClientCertificate or None answers the request, not a {kind}")
    return replace(config, client_certificate=certificate, on_client_certificate=None)
