"""The table of `transaction` as a test: replies in, what is written and what became of it out."""

from __future__ import annotations

import pytest

from schannel_ffi.smtp import ConnectionLost, Outcome, RemoteProtocolError, Reply
from schannel_ffi.smtp.transaction import WINDOW_BYTES, WINDOW_COMMANDS, Step, Transaction

D, P, T, N, U = (
    Outcome.DELIVERED,
    Outcome.REFUSED_PERMANENT,
    Outcome.REFUSED_TRANSIENT,
    Outcome.NOT_SENT,
    Outcome.UNKNOWN,
)


def transaction(count: int, **settings: bool) -> Transaction:
    settings = {"is_pipelined": True, "all_or_nothing": False, "reset_first": False} | settings
    return Transaction(b"MAIL\r\n", [b"RCPT%d\r\n" % i for i in range(count)], **settings)


def run(subject: Transaction, codes: list[int]) -> list[list[str]]:
    """Feed replies with these codes; return the groups that were written."""
    groups = []
    remaining = iter(codes)
    while True:
        group = subject.commands()
        if group:
            groups.append(group.decode().split())
        if subject.awaiting is None:
            assert next(remaining, None) is None
            return groups
        subject.accept(Reply(next(remaining), (b"",)))


R1 = [["MAIL", "RCPT0", "DATA"]]
R2 = [["MAIL", "RCPT0", "RCPT1", "DATA"]]
LOCKSTEP = [["MAIL"], ["RCPT0"], ["RCPT1"], ["DATA"]]

PIPELINED: dict[str, bool] = {}
LOCK = {"is_pipelined": False}
ALL = {"all_or_nothing": True}


@pytest.mark.parametrize(
    ("count", "mode", "codes", "groups", "step", "outcomes"),
    [
        # one group; outcomes as they are before the message is handed over
        pytest.param(1, PIPELINED, [250, 250, 354], R1, Step.BODY, [N], id="accepted"),
        pytest.param(1, PIPELINED, [250, 251, 354], R1, Step.BODY, [N], id="forwarded"),
        pytest.param(2, PIPELINED, [250, 550, 250, 354], R2, Step.BODY, [P, N], id="partial"),
        pytest.param(2, PIPELINED, [250, 550, 450, 554], R2, Step.DONE, [P, T], id="none_accepted"),
        pytest.param(
            2, PIPELINED, [250, 550, 450, 354], R2, Step.LONE_DOT, [P, T], id="none_but_354"
        ),
        pytest.param(2, PIPELINED, [550, 503, 503, 503], R2, Step.DONE, [P, P], id="mail_refused"),
        pytest.param(
            2, PIPELINED, [450, 250, 250, 354], R2, Step.ABANDON, [T, T], id="mail_but_354"
        ),
        pytest.param(2, PIPELINED, [250, 250, 550, 451], R2, Step.DONE, [T, P], id="data_refused"),
        # lockstep: one command at a time, nothing after what makes it useless
        pytest.param(2, LOCK, [250, 250, 250, 354], LOCKSTEP, Step.BODY, [N, N], id="lock_ok"),
        pytest.param(2, LOCK, [250, 550, 250, 354], LOCKSTEP, Step.BODY, [P, N], id="lock_partial"),
        pytest.param(2, LOCK, [250, 550, 450], LOCKSTEP[:3], Step.DONE, [P, T], id="lock_none"),
        pytest.param(2, LOCK, [450], LOCKSTEP[:1], Step.DONE, [T, T], id="lock_mail"),
        # all or nothing: DATA waits for every verdict
        pytest.param(
            2, ALL, [250, 250, 250, 354], [R2[0][:3], ["DATA"]], Step.BODY, [N, N], id="all_ok"
        ),
        pytest.param(2, ALL, [250, 250, 550], [R2[0][:3]], Step.DONE, [N, P], id="all_one_refused"),
        pytest.param(
            2, ALL, [250, 250, 250, 450], [R2[0][:3], ["DATA"]], Step.DONE, [T, T], id="all_data"
        ),
        pytest.param(1, ALL, [250, 250, 354], R1, Step.BODY, [N], id="all_of_one_is_one_group"),
        pytest.param(
            2, ALL | LOCK, [250, 250, 550], LOCKSTEP[:3], Step.DONE, [N, P], id="all_lock"
        ),
        # RSET in front
        pytest.param(
            1,
            {"reset_first": True},
            [250, 250, 250, 354],
            [["RSET", *R1[0]]],
            Step.BODY,
            [N],
            id="reset",
        ),
        pytest.param(
            1,
            LOCK | {"reset_first": True},
            [250, 250, 250, 354],
            [["RSET"], ["MAIL"], ["RCPT0"], ["DATA"]],
            Step.BODY,
            [N],
            id="lock_reset",
        ),
    ],
)
def test_table(
    count: int,
    mode: dict[str, bool],
    codes: list[int],
    groups: list[list[str]],
    step: Step,
    outcomes: list[Outcome],
) -> None:
    subject = transaction(count, **mode)

    assert run(subject, codes) == groups
    assert subject.next_step is step
    assert [outcome for outcome, _ in subject.verdicts()] == outcomes


@pytest.mark.parametrize(
    ("is_committed", "final", "outcomes"),
    [
        (False, None, [P, N]),
        (True, None, [P, U]),
        (True, 250, [P, D]),
        (True, 451, [P, T]),
        (True, 554, [P, P]),
        (False, 552, [P, P]),
    ],
)
def test_outcomes_of_the_message(
    is_committed: bool,  # noqa: FBT001
    final: int | None,
    outcomes: list[Outcome],
) -> None:
    subject = transaction(2)
    run(subject, [250, 550, 250, 354])

    subject.is_committed = is_committed
    subject.final_reply = None if final is None else Reply(final, (b"",))

    assert [outcome for outcome, _ in subject.verdicts()] == outcomes


@pytest.mark.parametrize("codes", [[354], [250, 354], [250, 250, 250], [334]])
def test_replies_of_a_class_without_meaning_are_fatal(codes: list[int]) -> None:
    with pytest.raises(RemoteProtocolError, match="without meaning"):
        run(transaction(1), codes)


def test_a_reply_too_many_is_fatal() -> None:
    subject = transaction(1)
    run(subject, [250, 250, 354])

    with pytest.raises(RemoteProtocolError, match="answers nothing"):
        subject.accept(Reply(250, (b"",)))


def test_a_refused_rset_ends_the_connection() -> None:
    with pytest.raises(ConnectionLost, match="RSET"):
        run(transaction(1, reset_first=True), [502])


def test_421_is_no_verdict() -> None:
    subject = transaction(2)
    subject.commands()
    for code in (250, 550, 421):
        subject.accept(Reply(code, (b"",)))

    assert [outcome for outcome, _ in subject.verdicts()] == [P, N]


@pytest.mark.parametrize("count", [1, 98, 99, 100, 101, 250, 1000])
def test_many_recipients_stay_within_the_window(count: int) -> None:
    subject = transaction(count)
    ahead = 0
    groups = 0
    while True:
        group = subject.commands().count(b"\r\n")
        groups += bool(group)
        ahead += group
        assert ahead <= WINDOW_COMMANDS
        if not ahead:
            break
        is_data = subject.awaiting is not None and subject.awaiting.value == "DATA"
        subject.accept(Reply(354 if is_data else 250, (b"",)))
        ahead -= 1

    assert subject.next_step is Step.BODY
    assert groups <= 1 + (count + 2) // (WINDOW_COMMANDS // 2)


def test_long_command_lines_stay_within_the_byte_window() -> None:
    lines = [b"RCPT TO:<%b@b.example>\r\n" % (b"a" * 480)] * 90
    subject = Transaction(
        b"MAIL\r\n", lines, is_pipelined=True, all_or_nothing=False, reset_first=False
    )

    assert len(subject.commands()) <= WINDOW_BYTES


def test_a_refused_mail_stops_the_recipients_that_were_not_written_yet() -> None:
    subject = transaction(300)

    groups = run(subject, [550] + [503] * 99)

    assert len(groups) == 1
    assert {outcome for outcome, _ in subject.verdicts()} == {P}
