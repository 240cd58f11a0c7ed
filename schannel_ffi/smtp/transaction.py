"""One mail transaction: what to write next, and what each reply means (no I/O).

    commands() -> bytes to write -> accept(reply) for each of `awaiting` -> ... -> next_step

Replies are attributed by count alone, first in, first out (RFC 2920 section 3.1). Three modes
differ in two numbers only:

    mode                        window    DATA
    lockstep (no PIPELINING)    1         after all RCPT replies
    pipelined, all or nothing   100       after all RCPT replies
    pipelined                   100       in the group of MAIL and RCPT

Once DATA was answered by 354 only closing the connection takes it back: a lone dot then would
deliver an empty message to the accepted recipients. That is why all_or_nothing waits.

Next step, when every reply is in:

    MAIL refused                  354 -> ABANDON     else -> DONE
    no recipient accepted         354 -> LONE_DOT    else -> DONE
    all or nothing, one refused   354 -> ABANDON     else -> DONE
    else                          354 -> BODY        refused -> DONE
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from schannel_ffi.smtp import command
from schannel_ffi.smtp.errors import ConnectionLost, RemoteProtocolError
from schannel_ffi.smtp.reply import Reply
from schannel_ffi.smtp.result import Outcome

WINDOW_COMMANDS = 100
WINDOW_BYTES = 16384


class Stage(Enum):
    """What a reply answers."""

    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"


class Step(Enum):
    """What follows when every reply to the commands is in."""

    BODY = "send the message"
    LONE_DOT = "end an empty message, whose reply says nothing"
    ABANDON = "close the connection"
    DONE = "nothing"


class Transaction:
    """The commands and replies of one message on one connection."""

    def __init__(
        self,
        mail: bytes,
        recipients: Sequence[bytes],
        *,
        is_pipelined: bool,
        all_or_nothing: bool,
        reset_first: bool,
    ) -> None:
        """Plan the commands. `mail` and `recipients` are whole command lines."""
        self._all_or_nothing = all_or_nothing and len(recipients) > 1
        self._window = WINDOW_COMMANDS if is_pipelined else 1
        self._commands = [command.RSET] if reset_first else []
        self._mail_index = len(self._commands)
        self._commands += [mail, *recipients]
        self._data_index = len(self._commands)
        self._data_early = is_pipelined and not self._all_or_nothing
        self._sent = 0
        self._answered = 0
        self._data_reply: Reply | None = None
        self._rcpt_replies: list[Reply | None] = [None] * len(recipients)
        self.mail_reply: Reply | None = None
        self.final_reply: Reply | None = None
        self.is_committed = False
        self.has_reply = False

    @property
    def awaiting(self) -> Stage | None:
        """What the next reply answers, or None when nothing is outstanding."""
        if self._answered == self._sent:
            return None
        index = self._answered
        if index == self._data_index:
            return Stage.DATA
        if index > self._mail_index:
            return Stage.RCPT
        return Stage.MAIL if index == self._mail_index else Stage.RSET

    def commands(self) -> bytes:
        """Return what to write now: b"" when replies must come first, or all was written.

        The bytes count as written; at most 100 commands and 16 KB are ahead of the replies.
        """
        outstanding = self._sent - self._answered
        if (
            self._sent > self._data_index  # all was written
            or outstanding > self._window // 2
            or self._is_hopeless
        ):
            return b""
        group: list[bytes] = []
        size = 0
        while (
            self._sent < self._data_index
            and outstanding + len(group) < self._window
            and (not group or size + len(self._commands[self._sent]) <= WINDOW_BYTES)
        ):
            line = self._commands[self._sent]
            group.append(line)
            size += len(line)
            self._sent += 1
        if self._may_write_data(outstanding + len(group)):
            group.append(command.DATA)
            self._sent += 1
        return b"".join(group)

    def accept(self, reply: Reply) -> None:
        """Attribute the next reply. 421 gives no verdict: the caller ends the connection.

        Raises:
            RemoteProtocolError: the reply's class has no meaning here, such as 250 to DATA.
            ConnectionLost: RSET was refused, so that nothing can be sent here any more.
        """
        stage = self.awaiting
        if stage is None:
            raise RemoteProtocolError("a reply that answers nothing", reply=reply)
        index = self._answered - self._mail_index - 1
        self._answered += 1
        if reply.code == 421:
            return
        if stage is Stage.RSET:
            if not reply.is_positive:
                raise ConnectionLost("the server refused RSET", reply=reply)
            return
        is_go = reply.code == 354 and stage is Stage.DATA
        if not (is_go or reply.code >= 400 or (reply.is_positive and stage is not Stage.DATA)):
            raise RemoteProtocolError(f"reply without meaning to {stage.value}", reply=reply)
        self.has_reply = True
        if stage is Stage.MAIL:
            self.mail_reply = reply
        elif stage is Stage.RCPT:
            self._rcpt_replies[index] = reply
        else:
            self._data_reply = reply

    @property
    def next_step(self) -> Step:
        """What follows, once `commands` and `awaiting` are exhausted."""
        has_go = self._data_reply is not None and self._data_reply.is_intermediate
        if self.mail_reply is None or not self.mail_reply.is_positive:
            return Step.ABANDON if has_go else Step.DONE
        if not self._accepted_count:
            return Step.LONE_DOT if has_go else Step.DONE
        if self._is_held_back:
            return Step.ABANDON if has_go else Step.DONE
        return Step.BODY if has_go else Step.DONE

    @property
    def is_delivered(self) -> bool:
        """Whether the server took the message for at least one recipient."""
        return self.is_committed and self.final_reply is not None and self.final_reply.is_positive

    @property
    def last_reply(self) -> Reply | None:
        """The reply that ended the transaction, or None before any verdict."""
        if self.final_reply is not None:
            return self.final_reply
        if self.mail_reply is not None and not self.mail_reply.is_positive:
            return self.mail_reply
        refused = [reply for reply in self._rcpt_replies if reply and not reply.is_positive]
        if refused and (not self._accepted_count or self._is_held_back):
            return refused[-1]
        return self._data_reply or (refused[-1] if refused else self.mail_reply)

    @property
    def is_refused_as_a_whole(self) -> bool:
        """Whether `last_reply` answers MAIL or DATA, or every recipient got its code."""
        reply = self.last_reply
        if reply is None or reply is self.mail_reply or reply is self._data_reply:
            return reply is not None
        return all(other is not None and other.code == reply.code for other in self._rcpt_replies)

    def verdicts(self) -> list[tuple[Outcome, Reply | None]]:
        """Return per recipient what became of it, and the reply that decided, as of now."""
        return [self._verdict(reply) for reply in self._rcpt_replies]

    def _verdict(self, rcpt_reply: Reply | None) -> tuple[Outcome, Reply | None]:
        if self.mail_reply is not None and not self.mail_reply.is_positive:
            return _refused(self.mail_reply), self.mail_reply
        if rcpt_reply is not None and not rcpt_reply.is_positive:
            return _refused(rcpt_reply), rcpt_reply
        if rcpt_reply is None:
            return Outcome.NOT_SENT, None
        if self.final_reply is not None:
            delivered = self.final_reply.is_positive
            outcome = Outcome.DELIVERED if delivered else _refused(self.final_reply)
            return outcome, self.final_reply
        if self.is_committed:
            return Outcome.UNKNOWN, None
        data_reply = self._data_reply
        if data_reply is not None and data_reply.code >= 400 and not self._is_held_back:
            return _refused(data_reply), data_reply
        return Outcome.NOT_SENT, None

    def _may_write_data(self, outstanding: int) -> bool:
        if self._sent != self._data_index or outstanding >= self._window:
            return False
        if outstanding == 0:
            return bool(self._accepted_count) and not self._is_held_back
        return self._data_early

    @property
    def _is_hopeless(self) -> bool:
        return self.mail_reply is not None and not self.mail_reply.is_positive

    @property
    def _is_held_back(self) -> bool:
        """Whether all_or_nothing stops a message that some recipients were refused for."""
        return self._all_or_nothing and self._accepted_count < len(self._rcpt_replies)

    @property
    def _accepted_count(self) -> int:
        return sum(1 for reply in self._rcpt_replies if reply is not None and reply.is_positive)


def _refused(reply: Reply) -> Outcome:
    return Outcome.REFUSED_PERMANENT if reply.is_permanent else Outcome.REFUSED_TRANSIENT
