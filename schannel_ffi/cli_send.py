"""`schannel-ffi send`: messages over one session, and what became of each in words.

A message that is lost on the way is told and the next one tried on a new connection. It ends
early when no connection, TLS or login is to be had, or when two messages in a row were lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from schannel_ffi.cli_input import STDIN, read_message
from schannel_ffi.cli_output import Output, for_command_line
from schannel_ffi.smtp import (
    AuthenticationError,
    ConnectionFailed,
    LocalProtocolError,
    Outcome,
    Reply,
    ServiceRefused,
    Session,
    SMTPError,
    StartTLSRequired,
)

MAX_LOST_IN_A_ROW = 2
INTERRUPTED = 130

_HOPELESS = (AuthenticationError, ConnectionFailed, ServiceRefused, StartTLSRequired)


@dataclass(frozen=True)
class Job:
    """What to send.

    Attributes:
        names: File names, or `-`.
        sender, recipients: For every message; None takes the message's own header fields.
    """

    names: Sequence[str]
    sender: str | None = None
    recipients: Sequence[str] | None = None
    all_or_nothing: bool = field(default=False, kw_only=True)


class Fate(Enum):
    """What became of a message as a whole; the value is how the summary tells it."""

    DELIVERED = "delivered"
    IN_PART = "delivered in part"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NOT_SENT = "not sent"


@dataclass(frozen=True)
class Report:
    """What became of one message."""

    name: str
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    replies: Mapping[str, Reply] = field(default_factory=dict)
    queue_id: str | None = None
    error: OSError | None = None

    @property
    def fate(self) -> Fate:
        """The outcomes in one word; the worst that must not be overlooked comes first."""
        found = set(self.outcomes.values())
        if Outcome.UNKNOWN in found:
            return Fate.UNKNOWN
        if Outcome.DELIVERED in found:
            return Fate.DELIVERED if len(found) == 1 else Fate.IN_PART
        return Fate.REFUSED if found - {Outcome.NOT_SENT} else Fate.NOT_SENT

    def lines(self) -> Iterator[str]:
        """Yield the result: one line, and one per recipient where not all fared alike well."""
        shown = "stdin" if self.name == STDIN else self.name
        yield f"{shown}: {self._verdict()}"
        if self.fate is Fate.DELIVERED or (self.error is not None and not self.replies):
            return
        for recipient, outcome in self.outcomes.items():
            reply = self.replies.get(recipient)
            yield f"  {recipient}: {outcome.value}" + (f": {reply}" if reply else "")

    def _verdict(self) -> str:
        count = list(self.outcomes.values()).count(Outcome.DELIVERED)
        total = len(self.outcomes)
        if count:
            whom = f"{count}" if count == total else f"{count} of {total}"
            people = "recipient" if whom == "1" else "recipients"
            queued = f", queue id {self.queue_id}" if self.queue_id else ""
            return f"delivered to {whom} {people}{queued}"
        if self.error is not None:
            return f"{self.fate.value}: {for_command_line(str(self.error))}"
        return self.fate.value


def send_all(session: Session, job: Job, output: Output) -> int:
    """Send every message of the job, tell each result, and return the exit status. Blocks."""
    run = _Run(session, job, output)
    try:
        with session:
            run.send_each()
    except SMTPError as exc:  # no connection came about
        output.error(f"nothing was sent: {exc}")
        return 1
    except KeyboardInterrupt:
        run.tell_interrupted()
        return INTERRUPTED
    run.tell_summary()
    return 0 if run.has_delivered_all else 1


class _Run:
    """The messages of one job on their way."""

    def __init__(self, session: Session, job: Job, output: Output) -> None:
        self._session = session
        self._job = job
        self._output = output
        self._fates: Counter[Fate] = Counter()
        self._current: str | None = None
        self._size = 0
        self._lost_in_a_row = 0
        self._started = time.monotonic()

    @property
    def has_delivered_all(self) -> bool:
        return self._fates[Fate.DELIVERED] == len(self._job.names)

    def send_each(self) -> None:
        self._output.start_progress(len(self._job.names))
        for name in self._job.names:
            report = self._send(name)
            self._current = None
            self._fates[report.fate] += 1
            for line in report.lines():
                self._output.line(line)
            self._output.advance()
            if self._is_hopeless_after(report):
                break

    def _send(self, name: str) -> Report:
        try:
            message = read_message(name)
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            return Report(name, error=OSError(f"cannot be read: {reason}"))
        if not message.strip():
            return Report(name, error=OSError("it is empty"))
        self._current = name
        try:
            result = self._session.send(
                message,
                sender=self._job.sender,
                recipients=self._job.recipients,
                all_or_nothing=self._job.all_or_nothing,
            )
        except SMTPError as exc:
            return Report(name, exc.outcomes, exc.replies, error=exc)
        self._size += len(message)
        return Report(name, result.outcomes, result.replies, result.queue_id)

    def _is_hopeless_after(self, report: Report) -> bool:
        is_lost = isinstance(report.error, SMTPError) and not isinstance(
            report.error, LocalProtocolError
        )
        self._lost_in_a_row = self._lost_in_a_row + 1 if is_lost else 0
        return self._lost_in_a_row == MAX_LOST_IN_A_ROW or isinstance(report.error, _HOPELESS)

    def tell_interrupted(self) -> None:
        """Tell what is certain; of the message on its way nothing is."""
        self._output.hide_progress()
        if self._current is not None:
            self._fates[Fate.UNKNOWN] += 1
            self._output.line(f"{self._current}: unknown: interrupted while it was being sent")
        self.tell_summary()
        self._output.error("interrupted")

    def tell_summary(self) -> None:
        self._output.hide_progress()
        total = len(self._job.names)
        parts = [f"delivered {self._fates[Fate.DELIVERED]} of {total}"]
        parts += [
            f"{count} {fate.value}"
            for fate, count in sorted(self._fates.items(), key=lambda item: item[0].name)
            if fate is not Fate.DELIVERED and count
        ]
        untried = total - sum(self._fates.values())
        if untried:
            parts.append(f"{untried} not tried")
        seconds = time.monotonic() - self._started
        self._output.line(f"{', '.join(parts)} ({self._size / 1e6:.1f} MB in {seconds:.1f} s)")
