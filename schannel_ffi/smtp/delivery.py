"""Delivery: one attempt at one message on one connection.

What each step does to the outcomes stands in `transaction`; this file moves the bytes and
decides when a connection is over. The point of no return is the piece that holds the end of
data: handed over whole, only a reply decides; not handed over whole, nothing was sent.
"""

from __future__ import annotations

from schannel_ffi.smtp import command
from schannel_ffi.smtp.body import Body
from schannel_ffi.smtp.command import Capabilities
from schannel_ffi.smtp.connection import Connection
from schannel_ffi.smtp.envelope import Envelope
from schannel_ffi.smtp.errors import (
    ConnectionLost,
    LocalProtocolError,
    RemoteProtocolError,
    SMTPError,
    SMTPTimeout,
)
from schannel_ffi.smtp.message import Content, Source
from schannel_ffi.smtp.reply import Reply
from schannel_ffi.smtp.result import Outcome, SendResult
from schannel_ffi.smtp.settings import (
    COMMAND_SECONDS,
    FINAL_SECONDS,
    QUIT_SECONDS,
    Settings,
)
from schannel_ffi.smtp.transaction import Step, Transaction
from schannel_ffi.smtp.transport import Transport


class Delivery:
    """One attempt at one message on one connection.

    Attributes:
        is_over: The connection is of no more use, though the result stands.
        was_turned_away: The server wants TLS or a login first; the connection may stay.
        was_stale: The connection was lost before any verdict on this message, and had served
            before: nothing of the message left, so that it may be tried once more.
    """

    def __init__(self, settings: Settings, envelope: Envelope) -> None:
        self._settings = settings
        self._envelope = envelope
        self._transaction: Transaction | None = None
        self._body = Body(b"")
        self.is_over = False
        self.was_turned_away = False
        self.was_stale = False

    def prepare(self, connection: Connection, source: Source, *, all_or_nothing: bool) -> None:
        """Make the message ready for what this server can take."""
        content, parameters = _adapt(source, self._envelope, connection.capabilities)
        self._body = Body.of(content.data)
        self._transaction = Transaction(
            command.mail(self._envelope.sender, parameters),
            [command.rcpt(recipient) for recipient in self._envelope.recipients],
            is_pipelined="PIPELINING" in connection.capabilities,
            all_or_nothing=all_or_nothing,
            reset_first=connection.is_dirty,
        )

    def run(self, connection: Connection) -> SendResult:
        """Take the transaction to its end."""
        transaction = self._transaction
        assert transaction is not None  # prepare comes first
        transport = connection.transport
        if transport.has_surplus:  # it would be taken for the answer to MAIL
            raise RemoteProtocolError("the server sent a reply that nobody asked for")
        was_used, connection.is_used = connection.is_used, True
        connection.is_dirty = True
        try:
            self._exchange_commands(transport, transaction)
        except ConnectionLost:
            self.was_stale = was_used and not transaction.has_reply
            raise
        self._raise_if_login_or_tls_wanted(connection, transaction)
        step = transaction.next_step
        if step is Step.BODY:
            self._send_body(transport, transaction)
            connection.is_dirty = not transaction.is_delivered
        elif step is Step.LONE_DOT:
            self._end_empty(transport)
        elif step is Step.ABANDON:
            self.is_over = True
        return self._result(transaction)

    def states(self) -> tuple[dict[str, Outcome], dict[str, Reply]]:
        """Return outcomes and deciding replies by recipient, as of now."""
        spellings = self._envelope.spellings
        if self._transaction is None or self.was_turned_away:
            return dict.fromkeys(spellings, Outcome.NOT_SENT), {}
        verdicts = self._transaction.verdicts()
        outcomes = {text: verdicts[index][0] for text, index in spellings.items()}
        replies = {
            text: reply
            for text, index in spellings.items()
            if (reply := verdicts[index][1]) is not None
        }
        return outcomes, replies

    def _exchange_commands(self, transport: Transport, transaction: Transaction) -> None:
        while True:
            group = transaction.commands()
            if group:
                transport.send(group, self._settings.deadline(COMMAND_SECONDS))
            stage = transaction.awaiting
            if stage is None:
                return
            reply = transport.receive(self._settings.deadline(COMMAND_SECONDS), stage.value)
            transaction.accept(reply)
            if reply.code == 421:
                raise ConnectionLost("the server ended the session", reply=reply)

    def _send_body(self, transport: Transport, transaction: Transaction) -> None:
        """Hand over the message and take the verdict.

        Between pieces an early reply is looked for: a server that refuses the message while
        it is on its way need not be sent the rest.
        """
        is_last = False
        try:
            for number, piece in enumerate(pieces := self._body.pieces(), start=1):
                is_last = number == len(pieces)
                early = transport.try_receive() if number > 1 or transport.has_surplus else None
                if early is not None:
                    self._take_early(transaction, early)
                    return
                transaction.is_committed = is_last  # an interruption from here on is UNKNOWN
                transport.send(piece, self._settings.deadline(COMMAND_SECONDS))
        except SMTPTimeout:
            transaction.is_committed = False  # the end of data did not leave whole, and
            raise  # nothing may be called on the socket now that could make it leave
        except ConnectionLost:
            transaction.is_committed = False
            if not self._find_last_words(transport, transaction, is_last=is_last):
                raise
            return
        reply = transport.receive(
            self._settings.deadline(FINAL_SECONDS), "the verdict on the message"
        )
        if reply.is_intermediate:
            raise RemoteProtocolError("reply without meaning to a message", reply=reply)
        transaction.final_reply = reply
        self.is_over = reply.code == 421 or transport.has_surplus

    def _find_last_words(
        self, transport: Transport, transaction: Transaction, *, is_last: bool
    ) -> bool:
        """Look for the refusal that explains why the server stopped reading."""
        deadline = self._settings.deadline(QUIT_SECONDS)
        try:
            reply = transport.receive(deadline, "the reason")
        except SMTPError:
            return False
        if reply.code < 400:
            transaction.is_committed = is_last  # praise for what did not leave whole: who knows
            return False
        self._take_early(transaction, reply)
        return True

    def _take_early(self, transaction: Transaction, reply: Reply) -> None:
        """Take a refusal that came before the message had left; the connection is over."""
        self.is_over = True
        if reply.code < 400:
            raise RemoteProtocolError("the server answered before the message ended", reply=reply)
        transaction.final_reply = reply

    def _end_empty(self, transport: Transport) -> None:
        """End the data that no recipient is to get; what the server says of it is no verdict."""
        try:
            transport.send(b".\r\n", self._settings.deadline(COMMAND_SECONDS))
            transport.receive(self._settings.deadline(FINAL_SECONDS), "the end of nothing")
        except SMTPError:
            self.is_over = True

    def _raise_if_login_or_tls_wanted(
        self, connection: Connection, transaction: Transaction
    ) -> None:
        """Turn 530 into an error that says what to change: it is about us, not the message.

        About one recipient of several it is a verdict like any other.
        """
        reply = transaction.last_reply
        if reply is None or transaction.next_step is not Step.DONE:
            return
        if not transaction.is_refused_as_a_whole:
            return
        error = connection.wants_tls_or_login(reply)
        if error is not None:
            self.was_turned_away = True
            raise error

    def _result(self, transaction: Transaction) -> SendResult:
        outcomes, replies = self.states()
        reply = transaction.last_reply
        assert reply is not None  # every path here has seen MAIL answered
        return SendResult(outcomes, reply, replies)


def _adapt(
    source: Source, envelope: Envelope, capabilities: Capabilities
) -> tuple[Content, tuple[bytes, ...]]:
    """Return the content for this server, and the MAIL parameters that declare it."""
    smtputf8 = envelope.needs_smtputf8
    content = source.content(capabilities, smtputf8=smtputf8)
    smtputf8 = smtputf8 or content.needs_smtputf8
    if smtputf8 and "SMTPUTF8" not in capabilities:
        raise LocalProtocolError(
            "an address or a header field is not ASCII and the server does not offer SMTPUTF8",
            hint="use ASCII addresses, and encode header fields (RFC 2047), as EmailMessage does",
        )
    if content.is_8bit and "8BITMIME" not in capabilities:
        raise LocalProtocolError(
            "the message holds 8-bit bytes and the server does not offer 8BITMIME",
            hint="pass an EmailMessage, or encode the body as quoted-printable or base64",
        )
    parameters: list[bytes] = []
    if "SIZE" in capabilities:
        limit = capabilities.size_limit
        if limit is not None and len(content.data) > limit:
            raise LocalProtocolError(
                f"the message has {len(content.data)} bytes and the server takes {limit}",
                hint="send less, or send a link to it",
            )
        parameters.append(b"SIZE=%d" % len(content.data))
    if content.is_8bit:
        parameters.append(b"BODY=8BITMIME")
    if smtputf8:
        parameters.append(b"SMTPUTF8")
    return content, tuple(parameters)
