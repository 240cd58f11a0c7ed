"""Against a server that is not ours: aiosmtpd, which does not offer PIPELINING."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from smtp_samples import MESSAGE, RECIPIENT, TLSEnds

from schannel_ffi.smtp import Outcome, Session

pytest_plugins = ["smtp_fixtures"]


class Handler:
    """Keeps envelopes and refuses one recipient."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == "bad@example.org":
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


class AnyPortController(Controller):
    """Listens on a free port; the library's own knocks on port 0 to see whether it runs."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # it has no annotations


@pytest.fixture(params=["starttls", "tls"])
def controller(request: pytest.FixtureRequest, smtp_tls: TLSEnds) -> Iterator[Controller]:
    settings: dict[str, Any] = (
        {"ssl_context": smtp_tls.server}
        if request.param == "tls"
        else {"tls_context": smtp_tls.server, "require_starttls": True}
    )
    made = AnyPortController(Handler(), hostname="127.0.0.1", port=0, **settings)
    made.start()
    yield made
    made.stop()
    # Its event loop was made in this thread and closed in another, so on Windows it leaves a
    # closed socket behind for signals to be written to.
    signal.set_wakeup_fd(-1)


def test_messages_arrive_and_refusals_are_told(controller: Controller, smtp_tls: TLSEnds) -> None:
    security = "tls" if controller.ssl_context else "starttls"

    with Session(
        "127.0.0.1", controller.port, security=security, tls=smtp_tls.client, timeout=20
    ) as session:
        results = [session.send(MESSAGE, recipients=["bad@example.org", RECIPIENT]) for _ in "12"]

    expected = {"bad@example.org": Outcome.REFUSED_PERMANENT, RECIPIENT: Outcome.DELIVERED}
    assert [dict(result.outcomes) for result in results] == [expected] * 2
    assert [envelope.content for envelope in controller.handler.envelopes] == [MESSAGE] * 2
