"""Which Windows the model is: `Windows(...)`, and the ones with a name.

What real ones do differs between versions, and not all of it is known; each field is one way in
which they may. The rows are those of windows_behaviours.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from fake_sspi_types import ClientBit, Status

OLD_VERSIONS = ClientBit.TLS_1_0 | ClientBit.TLS_1_1 | ClientBit.TLS_1_2


class Feeding(enum.Enum):
    """How much of its input a call of InitializeSecurityContext takes (rows 21, 22)."""

    RECORD = "one record; the rest is EXTRA"
    FLIGHT = "INCOMPLETE_MESSAGE until the peer's whole flight is there"
    FLIGHT_BUT_LAST = "as FLIGHT, but the last record of it is EXTRA"


class Hint(enum.Enum):
    """What a MISSING buffer says (row 21)."""

    EXACT = "how many bytes there are to come"
    ONE = "1, whatever is missing"
    NONE = "nothing: the buffer stays as it was (before Windows 10)"


class PostHandshake(enum.Enum):
    """What DecryptMessage makes of tickets (row 58); KeyUpdate is never swallowed."""

    RECORD = "SEC_I_RENEGOTIATE, EXTRA is the whole record as it came"
    MESSAGE = "SEC_I_RENEGOTIATE, EXTRA is the message inside the record, decrypted in place"
    SWALLOWED = "SEC_E_OK and no data"


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One Windows.

    versions: SP_PROT_*_CLIENT bits that it can. takes_sch_credentials: knows SCH_CREDENTIALS
    (row 1). knows_alpn: else the buffer is refused (row 17). shutdown_status: of the ISC that gives
    close_notify out (row 68). alert_buffer: which output buffer gets an alert (rows 32, 80).
    asks_for_credentials: SEC_I_INCOMPLETE_CREDENTIALS where row 28 has it. resumes: keeps sessions.
    table_version: of the function table (row 95). build: what WindowsBuild tells (row 82).
    """

    name: str = "Windows 11"
    versions: ClientBit = OLD_VERSIONS | ClientBit.TLS_1_3
    takes_sch_credentials: bool = True
    knows_alpn: bool = True
    feeding: Feeding = Feeding.RECORD
    hint: Hint = Hint.EXACT
    post_handshake: PostHandshake = PostHandshake.RECORD
    shutdown_status: Status = Status.SEC_I_CONTEXT_EXPIRED
    has_alert_buffer: bool = False
    asks_for_credentials: bool = True
    resumes: bool = True
    table_version: int = 3
    build: int = 26100


def windows_11() -> Windows:
    return Windows()


def server_2019() -> Windows:
    return Windows(
        name="Windows Server 2019",
        build=17763,
        versions=OLD_VERSIONS,
        shutdown_status=Status.SEC_E_OK,
    )


def windows_7() -> Windows:
    return Windows(
        name="Windows 7",
        build=7601,
        versions=OLD_VERSIONS,
        takes_sch_credentials=False,
        knows_alpn=False,
        hint=Hint.NONE,
        shutdown_status=Status.SEC_E_OK,
        table_version=1,
    )


def odd_windows() -> Windows:
    """Return what no Windows is known to be, but a caller has to bear."""
    return Windows(
        name="odd Windows",
        feeding=Feeding.FLIGHT_BUT_LAST,
        hint=Hint.ONE,
        post_handshake=PostHandshake.MESSAGE,
        shutdown_status=Status.SEC_E_OK,
        has_alert_buffer=True,
    )


def patient_windows() -> Windows:
    """Return one that wants whole flights."""
    return Windows(name="patient Windows", feeding=Feeding.FLIGHT)


VARIANTS = {
    "11": windows_11,
    "2019": server_2019,
    "7": windows_7,
    "odd": odd_windows,
    "patient": patient_windows,
}
