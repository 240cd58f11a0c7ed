"""What Winsock is told about a socket before it connects."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from schannel_ffi import errors
from schannel_ffi._lib.binding import require
from schannel_ffi._lib.shared import library


def refuse_at_once(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """See that a connect to this very machine is refused at once where nobody listens (B90).

    Windows otherwise retries the SYN for two seconds. Nothing happens for other addresses, and
    where there is no Schannel.

    Args:
        sock: about to connect.
        address: where to; the first item is an IP literal.
    """
    literal = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = getattr(literal, "ipv4_mapped", None)
    if not (mapped or literal).is_loopback:
        return
    try:
        _, lib = require()
        lib.schan_socket_refuse_at_once(library(), sock.fileno())
    except errors.TLSError:
        return
