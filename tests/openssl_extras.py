"""What OpenSSL can do and the ssl module does not expose: 0.5-RTT data and KeyUpdate.

The `SSL *` is read out of the ssl module's object: it is the second pointer behind the object
header (Modules/_ssl.c, struct PySSLSocket, unchanged from 3.6 to 3.13). `SSL_is_server` is asked
first, so that a wrong layout fails at once.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
import os
import ssl

_READ_EARLY_DATA_FINISH = 2
_KEY_UPDATE_NOT_REQUESTED, _KEY_UPDATE_REQUESTED = 0, 1
_WINDOWS_NAMES = ("libssl-3", "libssl-3-x64", "libssl-3-arm64", "libssl-1_1", "libssl-1_1-x64")


def answer_client_hello(tls: ssl.SSLObject) -> bool:
    """Produce the whole TLS 1.3 flight up to Finished; False until the ClientHello is there."""
    byte, count = ctypes.create_string_buffer(1), ctypes.c_size_t()
    status = library().SSL_read_early_data(
        pointer_of(tls), byte, ctypes.c_size_t(1), ctypes.byref(count)
    )
    return bool(status == _READ_EARLY_DATA_FINISH)


def write_before_client_finished(tls: ssl.SSLObject, data: bytes) -> None:
    """Encrypt `data` as 0.5-RTT data: behind our Finished, before the client's (RFC 8446, 2)."""
    count = ctypes.c_size_t()
    status = library().SSL_write_early_data(
        pointer_of(tls), data, ctypes.c_size_t(len(data)), ctypes.byref(count)
    )
    if (status, count.value) != (1, len(data)):
        raise RuntimeError(f"SSL_write_early_data: status {status}, {count.value} bytes written")


def key_update(tls: ssl.SSLObject, *, request: bool) -> None:
    """Queue a KeyUpdate; with `request` the peer has to answer with its own (RFC 8446, 4.6.3)."""
    kind = _KEY_UPDATE_REQUESTED if request else _KEY_UPDATE_NOT_REQUESTED
    if library().SSL_key_update(pointer_of(tls), kind) != 1:
        raise RuntimeError("SSL_key_update failed")
    tls.do_handshake()


@functools.cache
def library() -> ctypes.CDLL:
    """Return the libssl that the ssl module uses."""
    names = _WINDOWS_NAMES if os.name == "nt" else (_ssl.__file__,)
    for name in names:
        try:
            return ctypes.CDLL(name)  # loaded already: found by name, whatever the search path
        except OSError:
            continue
    raise RuntimeError(f"OpenSSL is not among {', '.join(names)}")


def pointer_of(tls: ssl.SSLObject) -> ctypes.c_void_p:
    """Return the `SSL *` of an ssl.SSLObject."""
    inner = tls._sslobj  # type: ignore[attr-defined]  # private: there is no other way to the SSL *
    address = id(inner) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    pointer = ctypes.c_void_p.from_address(address)
    if library().SSL_is_server(pointer) != int(tls.server_side or 0):
        raise RuntimeError("the ssl module's object has another layout")
    return pointer
