"""Settings: what a session is opened with, checked before anything is connected (no I/O)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from schannel_ffi.server_name import ascii_host
from schannel_ffi.smtp import auth, command
from schannel_ffi.smtp.errors import LocalProtocolError
from schannel_ffi.smtp.transport import is_verifying

IMPLICIT_TLS_PORT = 465
CONNECT_SECONDS = 30.0
COMMAND_SECONDS = 300.0  # RFC 5321 sections 4.5.3.2.1 to 4.5.3.2.5 ask for 2 to 5 minutes
FINAL_SECONDS = 600.0  # 4.5.3.2.6
QUIT_SECONDS = 2.0

Connector = Callable[[str, int, float], Any]


class Security(Enum):
    """How a session gets its TLS."""

    TLS = "tls"
    STARTTLS = "starttls"
    INSECURE_OPPORTUNISTIC = "insecure_opportunistic"
    INSECURE_PLAINTEXT = "insecure_plaintext"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a connection is opened with, checked."""

    host: str
    port: int
    security: Security
    mechanisms: tuple[auth.Mechanism, ...] = field(repr=False)
    tls: Any
    server_hostname: str
    local_hostname: str | None
    source_address: tuple[str, int] | None
    connector: Connector | None
    insecure_login: bool
    timeout: float | None

    def deadline(self, seconds: float) -> float:
        """Return when a wait of `seconds` ends, or one of `timeout` if that is shorter."""
        cap = self.timeout
        return time.monotonic() + (seconds if cap is None or cap > seconds else cap)


def checked_settings(
    host: str,
    port: int,
    *,
    security: str | None,
    server_hostname: str | None,
    local_hostname: str | None,
    login: object,
    tls: Any,
    source_address: tuple[str, int] | None,
    connector: Connector | None,
    insecure_login: bool,
    timeout: float | None,
) -> Settings:
    """Return the settings a Session was given, checked; see there for what they mean.

    Raises:
        LocalProtocolError: a setting that cannot work, or that would send the login
            unprotected.
        TypeError: a login that is neither (user, password) nor a mechanism.
    """
    default = Security.TLS if port == IMPLICIT_TLS_PORT else Security.STARTTLS
    try:
        chosen = default if security is None else Security(security)
        name = ascii_host(host)
        verified_name = name if server_hostname is None else ascii_host(server_hostname)
    except ValueError as exc:
        raise LocalProtocolError(str(exc)) from exc
    if timeout is not None and not timeout > 0:
        raise LocalProtocolError(f"timeout {timeout} is not above 0 seconds")
    mechanisms = () if login is None else auth.mechanisms_for(login)
    is_unprotected = chosen is Security.INSECURE_PLAINTEXT or not is_verifying(tls)
    if mechanisms and is_unprotected and not insecure_login:
        raise LocalProtocolError(
            "the login would leave without verified TLS",
            hint='use security="tls" or "starttls" and a tls= that verifies;'
            " insecure_login=True sends it anyway",
        )
    return Settings(
        host=name,
        port=port,
        security=chosen,
        mechanisms=mechanisms,
        tls=tls,
        server_hostname=verified_name,
        local_hostname=None if local_hostname is None else command.client_name(local_hostname),
        source_address=source_address,
        connector=connector,
        insecure_login=insecure_login,
        timeout=timeout,
    )
