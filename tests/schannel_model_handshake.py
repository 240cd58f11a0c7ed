"""InitializeSecurityContext and AcceptSecurityContext of the model, after the first call.

A step gets the bytes of the TOKEN buffer and says what Windows would: a status, how much of the
input is left over, a token. OpenSSL may have had bytes that Windows says it has not consumed yet
(`SecurityContext.seen`): those have to come again, unchanged, in front of what follows.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from fake_sspi_types import Status, signed
from schannel_model_alert import UnsealableError, fatal_alert
from schannel_model_context import Ledger, Phase, SecurityContext
from schannel_model_options import Feeding, Hint, Windows
from schannel_model_tls import (
    APPLICATION_DATA,
    RECORD_HEADER,
    Message,
    Progress,
    names_of,
    offered_protocols,
    record_at,
)
from schannel_model_types import Control

_CLOSE_NOTIFY = bytes((21, 3, 3, 0, 2, 1, 0))
_NO_APPLICATION_PROTOCOL = 120
_BY_REASON = {
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": Status.SEC_E_MESSAGE_ALTERED,
    "UNSUPPORTED_PROTOCOL": Status.SEC_E_ILLEGAL_MESSAGE,
    "NO_SHARED_CIPHER": Status.SEC_E_ALGORITHM_MISMATCH,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": Status.SEC_E_ALGORITHM_MISMATCH,
    "BAD_SIGNATURE": Status.SEC_E_MESSAGE_ALTERED,
    "DIGEST_CHECK_FAILED": Status.SEC_E_MESSAGE_ALTERED,
}
_OPEN_ALERTS = {  # row 48: what DecryptMessage makes of a peer's alert
    "TLSV1_ALERT_UNKNOWN_CA": signed(0x80090325),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Status.SEC_E_CERT_UNKNOWN,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": signed(0x80090328),
}


@dataclass
class Answer:
    """What a call says: status, how many bytes of the input are EXTRA or MISSING, the token."""

    status: int
    extra: int = 0
    missing: int = 0
    token: bytes = b""


def status_of(error: ssl.SSLError, *, is_open: bool) -> int:
    """Return the status that Windows has for what OpenSSL raised (rows 30, 32, 67)."""
    reason = error.reason or ""
    if "_ALERT_" in reason:
        known = _OPEN_ALERTS.get(reason) if is_open else None
        return Status.SEC_E_ILLEGAL_MESSAGE if known is None else known
    if is_open and reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC":
        return Status.SEC_E_DECRYPT_FAILURE
    return _BY_REASON.get(reason, Status.SEC_E_ILLEGAL_MESSAGE)


class Handshake:
    """The steps, for one Windows."""

    def __init__(self, windows: Windows, ledger: Ledger) -> None:
        self._windows = windows
        self._ledger = ledger

    def step(self, context: SecurityContext, given: bytes) -> Answer:
        """Go on with whatever this security context is in the middle of."""
        if context.control is not None:
            return self._give_alert(context, given)
        if context.phase is Phase.RENEGOTIATION_DUE:
            return self._begin_renegotiation(context, given)
        if context.phase not in {Phase.HANDSHAKE, Phase.POST_HANDSHAKE}:
            text = f"ISC on a security context that is {context.phase.value}"
            return Answer(self._ledger.misuse(text, Status.SEC_E_OUT_OF_SEQUENCE))
        if not given:
            text = "ISC without input in mid handshake (row 34)"
            return Answer(self._ledger.misuse(text, Status.SEC_E_INCOMPLETE_MESSAGE))
        if not self._is_presented_again(context, given):
            context.phase = Phase.FAILED
            return Answer(Status.SEC_E_INVALID_TOKEN)
        act = self._shake if context.phase is Phase.HANDSHAKE else self._after_handshake
        answer = act(context, given)
        is_incomplete = answer.status == Status.SEC_E_INCOMPLETE_MESSAGE
        context.last_input = given if is_incomplete else None
        if answer.status < 0 and not is_incomplete:
            context.phase = Phase.FAILED
        return answer

    def _is_presented_again(self, context: SecurityContext, given: bytes) -> bool:
        """Rows 21, 28: what was not consumed comes again, and with it what follows."""
        ledger = self._ledger
        ledger.expect(context.last_input != given, "ISC without new bytes (row 34)")
        return ledger.expect(
            given.startswith(context.seen), "what ISC did not consume was not presented again"
        )

    # --- the handshake -----------------------------------------------------------------------

    def _shake(self, context: SecurityContext, given: bytes) -> Answer:
        if context.outcome is not None:  # all was done but the last record of a flight
            status, context.outcome = context.outcome, None
            return self._end_of_flight(context, status, len(given) - len(context.seen))
        if context.held_at is not None:  # row 28: the same bytes again
            start, context.held_at = context.held_at, None
            answer = self._judge(context, context.endpoint.advance(), given, start)
            if answer is not None:
                return answer
        while True:
            start = len(context.seen)
            try:
                size = record_at(given, start)
            except ValueError:
                return Answer(Status.SEC_E_INVALID_TOKEN)  # row 33
            if size is None or start + size > len(given):
                return self._incomplete(given, start, size)
            if size == RECORD_HEADER and given[start] != APPLICATION_DATA:
                return Answer(Status.SEC_E_INVALID_TOKEN)  # RFC 8446, 5.1: never empty
            context.seen = given[: start + size]
            answer = self._advance(context, given, start)
            if answer is not None:
                return answer

    def _advance(self, context: SecurityContext, given: bytes, start: int) -> Answer | None:
        """Give OpenSSL the record at `start`; None: the flight goes on."""
        progress = context.endpoint.advance(given[start : len(context.seen)])
        if self._has_no_common_protocol(context):
            alert = fatal_alert(context.endpoint, _NO_APPLICATION_PROTOCOL)
            return Answer(Status.SEC_E_APPLICATION_PROTOCOL_MISMATCH, token=alert)
        return self._judge(context, progress, given, start)

    @staticmethod
    def _has_no_common_protocol(context: SecurityContext) -> bool:
        """Row 36: OpenSSL would go on without."""
        endpoint = context.endpoint
        if not context.is_server or endpoint.is_open or not context.alpn:
            return False
        offered = offered_protocols(endpoint.client_hello)
        return bool(offered) and not set(offered) & set(names_of(context.alpn))

    def _judge(
        self, context: SecurityContext, progress: Progress, given: bytes, start: int
    ) -> Answer | None:
        endpoint, left = context.endpoint, len(given) - len(context.seen)
        if progress is Progress.FAILED:
            assert endpoint.error is not None
            status = status_of(endpoint.error, is_open=False)
            return Answer(status, token=endpoint.take_output())  # row 32
        if progress is Progress.WANT_CREDENTIAL:
            if self._may_answer_without(context):
                return self._judge(context, endpoint.advance(), given, start)
            context.held_at = start
            return Answer(Status.SEC_I_INCOMPLETE_CREDENTIALS)
        if progress is Progress.WANT_RECORD and endpoint.output_size() == 0:
            if self._windows.feeding is not Feeding.RECORD:
                return None
            context.seen = b""
            return Answer(Status.SEC_I_CONTINUE_NEEDED, extra=left)  # row 23
        status = Status.SEC_E_OK if progress is Progress.DONE else Status.SEC_I_CONTINUE_NEEDED
        if start > 0 and self._windows.feeding is Feeding.FLIGHT_BUT_LAST:
            context.outcome = status
            last = len(context.seen) - start
            context.seen = context.seen[start:]
            return Answer(Status.SEC_I_CONTINUE_NEEDED, extra=last + left)
        return self._end_of_flight(context, status, left)

    def _may_answer_without(self, context: SecurityContext) -> bool:
        """Row 28: is there a certificate now, or leave to send none?"""
        use_supplied_creds = 0x80
        identity = context.credential.identity
        if identity is not None:
            context.endpoint.extras.use_identity(identity.chain_pem, identity.key_pem)
        may = (
            identity is not None
            or bool(context.requested & use_supplied_creds)
            or not self._windows.asks_for_credentials
        )
        context.endpoint.may_send_certificate = may
        return may

    def _end_of_flight(self, context: SecurityContext, status: int, left: int) -> Answer:
        context.seen = b""
        if status != Status.SEC_E_OK:
            return Answer(status, extra=left, token=context.endpoint.take_output())
        context.phase = Phase.OPEN
        context.credential.keep_session(context.target, context.alpn, context.endpoint)
        return Answer(status, extra=left, token=context.endpoint.finish())  # row 24

    def _incomplete(self, given: bytes, start: int, size: int | None) -> Answer:
        exact = (RECORD_HEADER if size is None else size) - (len(given) - start)
        hints = {Hint.EXACT: exact, Hint.ONE: 1, Hint.NONE: 0}
        return Answer(Status.SEC_E_INCOMPLETE_MESSAGE, missing=hints[self._windows.hint])

    # --- after it ----------------------------------------------------------------------------

    def _after_handshake(self, context: SecurityContext, given: bytes) -> Answer:
        """Row 58: OpenSSL has had the message; what lacks of it comes in further records."""
        while not context.messages:
            start = len(context.seen)
            try:
                size = record_at(given, start)
            except ValueError:
                return Answer(Status.SEC_E_INVALID_TOKEN)
            if size is None or start + size > len(given):
                return self._incomplete(given, start, size)
            context.seen = given[: start + size]
            received = context.endpoint.receive(given[start : start + size])
            if received.error is not None:
                return Answer(status_of(received.error, is_open=True))
            context.messages = received.messages
        left = len(given) - len(context.seen)
        token = context.endpoint.answer(context.messages)
        context.messages, context.seen, context.phase = [], b"", Phase.OPEN
        context.credential.keep_session(context.target, context.alpn, context.endpoint)
        return Answer(Status.SEC_E_OK, extra=left, token=token)

    def _begin_renegotiation(self, context: SecurityContext, given: bytes) -> Answer:
        """Row 60: no input, and a ClientHello comes out."""
        self._ledger.expect(not given, "a renegotiation begins without input (row 60)")
        context.phase, context.messages = Phase.HANDSHAKE, []
        return Answer(Status.SEC_I_CONTINUE_NEEDED, token=context.endpoint.take_output())

    # --- alerts ------------------------------------------------------------------------------

    def apply(self, context: SecurityContext, token: bytes) -> int:
        """Play ApplyControlToken with the bytes of its one buffer."""
        kind = int.from_bytes(token[:4], "little")
        if len(token) < 4 or kind not in {Control.SHUTDOWN, Control.ALERT, Control.SESSION}:
            return Status.SEC_E_UNSUPPORTED_FUNCTION  # row 70
        if kind == Control.SESSION:  # row 13
            context.credential.resumes = False
            context.credential.sessions.clear()
            return Status.SEC_E_OK
        if kind == Control.ALERT and len(token) < 12:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        context.control = token
        return Status.SEC_E_OK

    def _give_alert(self, context: SecurityContext, given: bytes) -> Answer:
        """Rows 45, 68, 69: the ISC after ApplyControlToken gives the alert out."""
        self._ledger.expect(not given, "after a control token there is no input (row 68)")
        assert context.control is not None
        token, context.control = context.control, None
        if int.from_bytes(token[:4], "little") == Control.ALERT:
            context.phase = Phase.FAILED
            try:
                alert = fatal_alert(context.endpoint, token[8])
            except UnsealableError:
                return Answer(Status.SEC_E_INTERNAL_ERROR)
            return Answer(self._windows.shutdown_status, token=alert)
        context.is_shut_down = True
        if not context.endpoint.is_open:
            return Answer(Status.SEC_E_OK, token=_CLOSE_NOTIFY)  # row 69
        return Answer(self._windows.shutdown_status, token=context.endpoint.close_notify())


def post_handshake_messages(messages: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return those that SEC_I_RENEGOTIATE is for."""
    kinds = {Message.NEW_SESSION_TICKET, Message.KEY_UPDATE, Message.CERTIFICATE_REQUEST}
    return [(kind, data) for kind, data in messages if kind in kinds]
