"""What became of a message: one Outcome per recipient (values only; no I/O)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schannel_ffi.smtp.reply import Reply


class Outcome(Enum):
    """The state of one recipient; every recipient ends in exactly one.

    UNKNOWN means that the message was handed over whole and no verdict came: it may or may not
    have been delivered (RFC 1047). Sending again risks a duplicate, not sending again a loss.
    """

    DELIVERED = "delivered"
    REFUSED_PERMANENT = "refused permanently"
    REFUSED_TRANSIENT = "refused for now"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SendResult:
    """The verdict of the server on one message.

    Attributes:
        outcomes: Recipient as the caller wrote it -> Outcome.
        reply: The reply that ended the transaction.
        replies: Recipient -> the reply that decided its outcome; absent for NOT_SENT.
    """

    outcomes: Mapping[str, Outcome]
    reply: Reply
    replies: Mapping[str, Reply] = field(default_factory=dict)

    @property
    def queue_id(self) -> str | None:
        """The server's name for the accepted message, where its wording is known."""
        if Outcome.DELIVERED not in self.outcomes.values():
            return None
        return self.reply.queue_id

    @property
    def all_delivered(self) -> bool:
        """Whether the server took the message for every recipient."""
        return all(outcome is Outcome.DELIVERED for outcome in self.outcomes.values())
