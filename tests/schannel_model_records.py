"""EncryptMessage and DecryptMessage of the model, with the buffers of Windows.

What Windows leaves to the caller's care is a misuse here: records that are not whole, buffers in
another layout, a call in the middle of a post-handshake message or after a failure.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from fake_sspi_types import Buffer, Status
from schannel_model_context import Ledger, Phase, SecurityContext, buffers_of, bytes_of, fill
from schannel_model_handshake import post_handshake_messages, status_of
from schannel_model_options import PostHandshake, Windows
from schannel_model_tls import HANDSHAKE, RECORD_HEADER, Message, Received, record_at, records_of
from schannel_model_types import MoreStatus, ffi

MOST_MESSAGE_BYTES = 16384
TRAILER_SIZE = 64  # what STREAM_SIZES tells: more than any trailer needs (row 37)


class Records:
    """The calls, for one Windows."""

    def __init__(self, windows: Windows, ledger: Ledger) -> None:
        self._windows = windows
        self._ledger = ledger

    # --- DecryptMessage ----------------------------------------------------------------------

    def decrypt(self, context: SecurityContext, description: Any) -> int:
        buffers = buffers_of(description)
        kinds = [buffer.BufferType for buffer in buffers]
        if len(kinds) != 4 or sorted(kinds) != [Buffer.EMPTY] * 3 + [Buffer.DATA]:
            return self._ledger.misuse(f"DecryptMessage with buffers {kinds} (row 53)")
        if not self._are_empty(buffers, "DecryptMessage"):
            return Status.SEC_E_INVALID_TOKEN
        if context.phase is not Phase.OPEN:
            text = f"DecryptMessage on a security context that is {context.phase.value}"
            return self._ledger.misuse(text, Status.SEC_E_OUT_OF_SEQUENCE)
        source = next(buffer for buffer in buffers if buffer.BufferType == Buffer.DATA)
        given = bytes_of(source)
        try:
            size = record_at(given)
        except ValueError:
            return self._fail(context, source, Status.SEC_E_ILLEGAL_MESSAGE)
        if size is None or size > len(given):
            return self._tell_missing(buffers, (size or RECORD_HEADER) - len(given))
        received = context.endpoint.receive(given[:size])
        if received.error is not None:
            return self._fail(context, source, status_of(received.error, is_open=True))
        return self._answer(context, buffers, source, given, size, received)

    def _are_empty(self, buffers: Sequence[Any], call: str) -> bool:
        empty = [buffer for buffer in buffers if buffer.BufferType == Buffer.EMPTY]
        return self._ledger.expect(
            all((b.cbBuffer, b.pvBuffer) == (0, ffi.NULL) for b in empty),
            f"{call} with an EMPTY buffer that is not empty (row 20)",
        )

    def _tell_missing(self, buffers: Sequence[Any], missing: int) -> int:
        """Rows 54, 55: the pointer to the data is lost from the struct."""
        self._ledger.misuse(f"DecryptMessage of a record that lacks {missing} bytes (rows 53, 55)")
        for buffer in buffers[:2]:
            fill(buffer, Buffer.MISSING, ffi.NULL, missing)
        return Status.SEC_E_INCOMPLETE_MESSAGE

    def _fail(self, context: SecurityContext, source: Any, status: int) -> int:
        """Row 67: decryption in place has destroyed what was there."""
        ffi.memmove(source.pvBuffer, secrets.token_bytes(source.cbBuffer), source.cbBuffer)
        context.phase = Phase.FAILED
        return status

    def _answer(
        self,
        context: SecurityContext,
        buffers: Sequence[Any],
        source: Any,
        given: bytes,
        size: int,
        received: Received,
    ) -> int:
        start = ffi.cast("uint8_t *", source.pvBuffer)
        header = min(context.endpoint.header_size(), size)
        ffi.memmove(start + header, received.data, len(received.data))
        end = header + len(received.data)
        fill(buffers[0], Buffer.HEADER, start, header)
        fill(buffers[1], Buffer.DATA, start + header, len(received.data))
        fill(buffers[2], Buffer.TRAILER, start + end, size - end)
        rest = len(given) - size
        if rest:
            fill(buffers[3], Buffer.EXTRA, start + size, rest)  # row 57: with its pointer
        else:
            fill(buffers[3], Buffer.EMPTY)
        if received.is_close_notify:
            context.phase = Phase.EXPIRED
            return Status.SEC_I_CONTEXT_EXPIRED  # row 64
        if not self._is_for_isc(received):
            if received.messages:
                context.credential.keep_session(context.target, context.alpn, context.endpoint)
            return Status.SEC_E_OK
        return self._hand_back(context, buffers, start, given[:size], rest, received)

    def _is_for_isc(self, received: Received) -> bool:
        """Row 58: is it a ticket, a KeyUpdate, or the beginning of one?"""
        if received.kind != HANDSHAKE:
            return False
        kinds = {kind for kind, _ in received.messages}
        is_swallowed = self._windows.post_handshake is PostHandshake.SWALLOWED
        return not (is_swallowed and kinds == {Message.NEW_SESSION_TICKET})

    def _hand_back(
        self,
        context: SecurityContext,
        buffers: Sequence[Any],
        start: Any,
        record: bytes,
        rest: int,
        received: Received,
    ) -> int:
        """Make EXTRA what ISC has to get: it reaches to the end of what was given."""
        if any(kind == Message.HELLO_REQUEST for kind, _ in received.messages):
            context.phase = Phase.RENEGOTIATION_DUE  # row 60: nothing for ISC but the wish
            return Status.SEC_I_RENEGOTIATE
        context.phase = Phase.POST_HANDSHAKE
        context.messages = post_handshake_messages(received.messages)
        context.seen = record
        if self._windows.post_handshake is PostHandshake.MESSAGE and context.messages:
            context.seen = b"".join(data for _, data in context.messages)
        offset = len(record) - len(context.seen)
        ffi.memmove(start + offset, context.seen, len(context.seen))
        fill(buffers[1], Buffer.DATA, start + offset, 0)
        fill(buffers[2], Buffer.TRAILER, start + offset, 0)
        fill(buffers[3], Buffer.EXTRA, start + offset, len(context.seen) + rest)
        return Status.SEC_I_RENEGOTIATE

    # --- EncryptMessage ----------------------------------------------------------------------

    def encrypt(self, context: SecurityContext, description: Any) -> int:
        buffers = buffers_of(description)
        if refused := self._check_message(context, buffers):
            return refused
        header, data, trailer = buffers[:3]
        sealed = context.endpoint.seal(bytes_of(data))
        if len(records_of(sealed)) != 1:
            return self._ledger.misuse(
                "the model itself failed: more than one record", Status.SEC_E_INTERNAL_ERROR
            )
        header_size = context.endpoint.header_size()
        end = header_size + data.cbBuffer
        parts = sealed[:header_size], sealed[header_size:end], sealed[end:]
        if len(parts[2]) > trailer.cbBuffer:
            return self._ledger.misuse(
                f"no room for a trailer of {len(parts[2])} bytes", MoreStatus.SEC_E_BUFFER_TOO_SMALL
            )
        for buffer, part in zip((header, data, trailer), parts, strict=True):
            ffi.memmove(buffer.pvBuffer, part, len(part))
            buffer.cbBuffer = len(part)
        return Status.SEC_E_OK

    def _check_message(self, context: SecurityContext, buffers: Sequence[Any]) -> int:
        """Rows 49, 50, 61, 68."""
        misuse = self._ledger.misuse
        kinds = [buffer.BufferType for buffer in buffers]
        if kinds != [Buffer.HEADER, Buffer.DATA, Buffer.TRAILER, Buffer.EMPTY]:
            return misuse(f"EncryptMessage with buffers {kinds} (row 49)")
        if not self._are_empty(buffers, "EncryptMessage"):
            return Status.SEC_E_INVALID_TOKEN
        if context.phase not in {Phase.OPEN, Phase.EXPIRED}:
            text = f"EncryptMessage on a security context that is {context.phase.value} (row 61)"
            return misuse(text, Status.SEC_E_OUT_OF_SEQUENCE)
        if context.is_shut_down:
            return misuse("EncryptMessage after the shutdown", Status.SEC_E_CONTEXT_EXPIRED)
        if buffers[1].cbBuffer == 0:
            return misuse("EncryptMessage of nothing (row 51)", MoreStatus.SEC_E_ENCRYPT_FAILURE)
        if buffers[1].cbBuffer > MOST_MESSAGE_BYTES:
            text = f"EncryptMessage of {buffers[1].cbBuffer} bytes (row 50)"
            return misuse(text, MoreStatus.SEC_E_ENCRYPT_FAILURE)
        if buffers[0].cbBuffer < context.endpoint.header_size():
            return misuse("no room for the header", MoreStatus.SEC_E_BUFFER_TOO_SMALL)
        return Status.SEC_E_OK
