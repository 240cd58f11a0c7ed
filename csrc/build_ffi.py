"""Describe the extension module to cffi; the cdef is cut out of the C headers, so none can drift.

The headers mark what cffi is to see with `[cdef] ... [/cdef]`. The types of Windows that these
parts name are declared here as opaque; the C compiler knows their layout.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).resolve().parent
MODULE = "schannel_ffi._engine"
SOURCES = [
    f"csrc/{name}.c"
    for name in (
        "alert",
        "binding",
        "buffer",
        "certificate",
        "client_hello",
        "credential",
        "der",
        "digest",
        "engine",
        "failure",
        "handshake",
        "host_name",
        "identity",
        "info",
        "key",
        "key_capi",
        "key_cng",
        "key_journal",
        "peer",
        "pfx",
        "provider",
        "record",
        "renegotiation",
        "search",
        "security_context",
        "socket",
        "status",
        "store",
        "stream",
        "verify",
    )
]
LIBRARIES = ["secur32", "crypt32", "bcrypt", "ncrypt", "advapi32", "ws2_32"]
INCLUDE_DIRS = ["csrc"]
DEFINE_MACROS: list[tuple[str, str | None]] = []
# B96: our DLLs come from System32 alone; for other compilers provider.c says it
EXTRA_LINK_ARGS = ["/DEPENDENTLOADFLAG:0x800"] if "MSC v." in sys.version else []
HEADERS = ("schan.h", "schan_system.h", "schan_sspi.h")
PREAMBLE = "".join(f'#include "{header}"\n' for header in HEADERS)

WINDOWS_TYPES = """
typedef unsigned long DWORD;
typedef unsigned long ULONG;
typedef int BOOL;
typedef long LONG;
typedef long NTSTATUS;
typedef long SECURITY_STATUS;
typedef unsigned long long ULONGLONG;
typedef unsigned char BYTE;
typedef unsigned char *PUCHAR;
typedef wchar_t *LPWSTR;
typedef const wchar_t *LPCWSTR;
typedef const char *LPCSTR;
typedef unsigned char *PBYTE;
typedef void *LPVOID;
typedef void *PVOID;
typedef void *HANDLE;
typedef void *HCERTSTORE;
typedef void *HCERTCHAINENGINE;
typedef void *BCRYPT_ALG_HANDLE;
typedef void *BCRYPT_HASH_HANDLE;
typedef uintptr_t SOCKET;
typedef uintptr_t HCRYPTPROV_LEGACY;
typedef uintptr_t HCRYPTPROV;
typedef uintptr_t HCRYPTKEY;
typedef uintptr_t HCRYPTPROV_OR_NCRYPT_KEY_HANDLE;
typedef uintptr_t NCRYPT_HANDLE;
typedef ... *HKEY;
typedef long LSTATUS;
typedef DWORD *LPDWORD;
typedef uintptr_t NCRYPT_PROV_HANDLE;
typedef uintptr_t NCRYPT_KEY_HANDLE;
typedef ... CERT_CONTEXT;
typedef const CERT_CONTEXT *PCCERT_CONTEXT;
typedef ... CERT_CHAIN_CONTEXT;
typedef const CERT_CHAIN_CONTEXT *PCCERT_CHAIN_CONTEXT;
typedef ... *PCERT_NAME_BLOB;
typedef ... *PCERT_ENHKEY_USAGE;
typedef ... *PCERT_INFO;
typedef ... CRYPT_DATA_BLOB;
typedef ... NCryptBufferDesc;
typedef ... NCryptKeyName;
typedef ... *PCERT_CHAIN_ENGINE_CONFIG;
typedef ... *PCERT_CHAIN_PARA;
typedef ... *PCERT_CHAIN_POLICY_PARA;
typedef ... *PCERT_CHAIN_POLICY_STATUS;
typedef ... *LPFILETIME;
typedef ... fd_set;
struct timeval { ...; };
"""


def cut_cdef(header: str) -> str:
    """Return the part of a header that cffi reads, without what only a C compiler knows."""
    text = (CSRC / header).read_text(encoding="utf-8")
    marked = re.search(r"/\* \[cdef\].*?\*/(.*?)/\* \[/cdef\] \*/", text, re.DOTALL)
    if marked is None:
        message = f"{header} has no [cdef] part"
        raise ValueError(message)
    return re.sub(
        r"\b(SCHAN_MUST_CHECK|VOID)\b", lambda found: {"VOID": "void"}.get(found[0], ""), marked[1]
    )


def make_builder() -> FFI:
    """Return the builder that setuptools and the lab compile; doing nothing itself yet."""
    builder = FFI()
    builder.cdef(WINDOWS_TYPES + "".join(map(cut_cdef, HEADERS)))
    builder.set_source(
        MODULE,
        PREAMBLE,
        sources=SOURCES,
        libraries=LIBRARIES,
        include_dirs=INCLUDE_DIRS,
        define_macros=DEFINE_MACROS,
        extra_link_args=EXTRA_LINK_ARGS,
        py_limited_api=True,
    )
    return builder


ffibuilder = make_builder()
