"""The way of a byte goes downwards: read in the sources, so that it stays so.

Runs everywhere. A new module needs a place in FLOORS, one sentence above what it may use.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "schannel_ffi"
CSRC = ROOT / "csrc"

FLOORS = [  # from the ground up; a module uses its own floor and those below
    ["_engine"],
    ["errors", "certificates", "private_key"],
    ["identity"],
    ["config", "server_name"],
    ["tcp"],
    ["_lib", "_lib.*"],
    ["credential_request", "handle_use", "negotiated", "role", "sspi", "sspi.*"],
    ["sockets", "engine"],
    ["", "sslcontext"],  # "" is the package itself, which gives the public names
    ["pep748"],
    ["smtp.errors", "smtp.reply", "smtp.result"],
    ["smtp.command", "smtp.envelope", "smtp.body", "smtp.auth", "smtp.gssapi"],
    ["smtp.message", "smtp.transaction", "smtp.protocol"],
    ["smtp.transport"],
    ["smtp.settings"],
    ["smtp.connection"],
    ["smtp.delivery"],
    ["smtp.session"],
    ["smtp.sender"],
    ["smtp.outbox*"],
    ["smtp"],
    ["smtplib", "testing"],
    ["cli", "cli_*"],
    ["__main__"],
]
UPWARDS_ON_PURPOSE = {("", "smtp")}  # reached lazily: `schannel_ffi.smtp` (PEP 562)

WITHOUT_IO = ["reply", "command", "envelope", "body", "message", "result", "errors", "auth"]
WITHOUT_IO += ["transaction", "protocol"]
IO = {"socket", "select", "selectors", "threading", "time", "queue", "subprocess", "asyncio"}
OPENSSL = {"ssl", "_ssl", "hashlib", "_hashlib", "hmac"}
STANDARD_RIVALS = {"smtplib", "asyncio", "http", "urllib.request"}
MAY_HAVE_SSL = {"sslcontext", "pep748", "testing"}


def modules() -> dict[str, Path]:
    """Return the modules of the package by name, without the package's own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
everywhere = pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "schannel_ffi")


def imports(path: Path) -> Iterator[str]:
    """Yield what is imported at run time, wherever in the file; of `from a import b` a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant))


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    found = set()
    for name in imports(MODULES[module]):
        if name != "schannel_ffi" and not name.startswith("schannel_ffi."):
            continue
        inner = name.removeprefix("schannel_ffi").removeprefix(".")
        while inner not in MODULES and inner != "_engine" and inner:
            inner = inner.rpartition(".")[0]
        found.add(inner)
    return found


def foreign_imports(module: str) -> set[str]:
    """Return what a module imports from elsewhere: "a" and "a.b" for `from a import b`."""
    names = {name for name in imports(MODULES[module]) if not name.startswith("schannel_ffi")}
    return names | {name.partition(".")[0] for name in names}


def floor_of(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if any(fnmatch(module, pattern) for pattern in names):
            return number
    pytest.fail(f"{module} has no place in FLOORS")


@everywhere
def test_no_import_points_upwards(module: str) -> None:
    floor = floor_of(module)

    upwards = {name for name in own_imports(module) if floor_of(name) > floor}

    assert {name for above, name in UPWARDS_ON_PURPOSE if above == module} == upwards


@everywhere
def test_only_lib_imports_the_engine(module: str) -> None:
    is_lib = module.partition(".")[0] == "_lib"

    assert is_lib or "_engine" not in own_imports(module)


@everywhere
def test_only_one_module_knows_openssl(module: str) -> None:
    assert module in MAY_HAVE_SSL or not foreign_imports(module) & OPENSSL


@everywhere
def test_nothing_uses_the_standard_modules_it_replaces(module: str) -> None:
    assert set() == foreign_imports(module) & STANDARD_RIVALS


@pytest.mark.parametrize("module", [name for name in WITHOUT_IO if f"smtp.{name}" in MODULES])
def test_protocol_of_smtp_does_no_io(module: str) -> None:
    name = f"smtp.{module}"

    assert set() == foreign_imports(name) & IO
    assert {True} >= {
        inner.startswith("smtp.") and inner.removeprefix("smtp.") in WITHOUT_IO
        for inner in own_imports(name) - {"smtp"}
    }


@pytest.mark.parametrize("statement", ["import schannel_ffi", "import schannel_ffi.smtp"])
def test_importing_loads_no_openssl(statement: str) -> None:
    loaded = f"{OPENSSL - {'hashlib', 'hmac'}} & set(sys.modules)"
    program = f"import sys; {statement}; print(sorted({loaded}))"

    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert ("[]\n", "") == (found.stdout.replace("\r", ""), found.stderr)


# ------------------------------------------------------------------------------------------- in C

C_FLOORS = [  # from the ground up, as schan_internal.h draws it
    {"provider", "buffer", "status", "der"},
    {"failure", "store", "host_name", "certificate", "digest", "key_cng", "key_capi"},
    {"key_journal"},
    {"key"},
    {"identity"},
    {"credential", "pfx", "search"},
    {"security_context", "client_hello", "record"},
    {"alert"},
    {"info", "binding", "peer", "verify"},
    {"handshake"},
    {"engine"},
    {"renegotiation"},
    {"stream"},
    {"socket"},
]
WINDOWS_HEADERS = re.compile(
    r"(win\w*|ws2\w*|bcrypt|ncrypt|sspi|schannel|security|wincrypt|subauth|mswsock|ntsecapi)\.h"
)
DIRECT_CALL = re.compile(
    r"(?<![\w>.])(Cert[A-Z]\w+|Crypt[A-Z]\w+|BCrypt[A-Z]\w+|NCrypt[A-Z]\w+|PFX[A-Z]\w+|"
    r"WSA[A-Z][a-z]\w+|InitSecurityInterface[AW]?|AcquireCredentialsHandle[AW]?|"
    r"FreeCredentialsHandle|InitializeSecurityContext[AW]?|AcceptSecurityContext|"
    r"DeleteSecurityContext|ApplyControlToken|QueryContextAttributes[AW]?|FreeContextBuffer|"
    r"EncryptMessage|DecryptMessage|SetContextAttributes[AW]?|recv|send|select|connect|socket|"
    r"ioctlsocket|closesocket|getaddrinfo|[gs]etsockopt)\s*\("
)
ALLOCATION = re.compile(
    r"\b(\w*(?:alloc|strdup|wcsdup)|(?:Heap|Virtual|Local|Global|CryptMem|CoTaskMem)\w*Alloc\w*)\s*\("
)
C_SOURCES = {path.stem: path for path in sorted(CSRC.glob("*.c"))}
C_FILES = sorted([*CSRC.glob("*.c"), *CSRC.glob("*.h")])
c_sources = pytest.mark.parametrize("name", C_SOURCES)


def code_of(path: Path) -> str:
    """Return C without comments and strings, which may speak of anything."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


def definitions(name: str) -> set[str]:
    """Return the functions with a name of the library that a file defines."""
    pattern = re.compile(r"^\w[\w\s*]*?\b(schan_\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
    return set(pattern.findall(code_of(C_SOURCES[name])))


def calls(name: str) -> set[str]:
    return set(re.findall(r"\b(schan_\w+)\s*\(", code_of(C_SOURCES[name]))) - definitions(name)


def c_floor(name: str) -> int:
    floors = [number for number, names in enumerate(C_FLOORS) if name in names]
    assert floors, f"{name}.c has no place in C_FLOORS"
    return floors[0]


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_only_one_header_includes_windows(path: Path) -> None:
    included = re.findall(r"#\s*include\s*[<\"]([^>\"]+)", path.read_text(encoding="utf-8"))

    found = {name for name in included if WINDOWS_HEADERS.fullmatch(name.lower())}

    assert (path.name == "schan_windows.h") == bool(found)


@c_sources
def test_sources_include_the_internal_header_first(name: str) -> None:
    included = re.findall(r'#include "([^"]+)"', C_SOURCES[name].read_text(encoding="utf-8"))

    assert "schan_internal.h" == included[0]


@c_sources
def test_public_header_knows_neither_windows_nor_python(name: str) -> None:
    assert "Python.h" not in C_SOURCES[name].read_text(encoding="utf-8")
    assert "windows.h" not in code_of(CSRC / "schan.h")


@c_sources
def test_no_call_points_upwards(name: str) -> None:
    home = {function: file for file in C_SOURCES for function in definitions(file)}

    upwards = {
        function
        for function in calls(name)
        if function in home and c_floor(home[function]) > c_floor(name)
    }

    assert set() == upwards


@c_sources
def test_windows_is_called_through_the_tables_only(name: str) -> None:
    if name == "provider":  # the tables themselves
        return

    assert [] == DIRECT_CALL.findall(code_of(C_SOURCES[name]))


@c_sources
def test_memory_is_allocated_in_one_place_only(name: str) -> None:
    """What tests/native/unit_idle.c counts is all there is."""
    expected = ["calloc"] if name == "provider" else []

    assert expected == ALLOCATION.findall(code_of(C_SOURCES[name]))


def test_every_member_of_the_system_table_is_windows_own() -> None:
    members = re.findall(r"\(__stdcall \*(\w+)\)", code_of(CSRC / "schan_system.h"))
    filled = dict(re.findall(r"\.(\w+) = (\w+),", code_of(CSRC / "provider.c")))

    assert members == list(filled)
    assert [] == [k for k, v in filled.items() if v != k and not v.startswith("windows_")]


@pytest.mark.parametrize("header", ["schan_system.h", "schan_sspi.h"])
def test_functions_of_windows_are_stdcall(header: str) -> None:
    """Without it only 32-bit Windows breaks (B94); the cdef is cut out of these headers."""
    pointers = re.findall(r"\(([^()]*)\*\s*(\w+)\)\s*\(", code_of(CSRC / header))

    assert pointers
    assert [] == [name for convention, name in pointers if convention.split() != ["__stdcall"]]


def test_every_source_is_built() -> None:
    text = (CSRC / "build_ffi.py").read_text(encoding="utf-8")
    listed = re.search(r"for name in \((.*?)\)", text, re.DOTALL)
    assert listed

    assert sorted(C_SOURCES) == re.findall(r'"(\w+)"', listed[1])


AIM_LINES, MOST_LINES = 25, 80
LONG_FOR_A_REASON = {
    "schan__record_encrypt": "fills four buffers for one call; apart they would need one name each",
    "schan__record_decrypt": "one call and what each status means for the record",
    "take_decrypted": "what came out of one record, found in four buffers",
    "schan_verification_new": "copies one by one what the job owns",
    "judge_with": "fills the parameters of one call",
    "schan__der_next": "the whole of a DER header, checked in its order",
    "schan_identity_from_pfx": "what a failure gives back, in the order of its making",
    "choose": "the certificates of a PFX, and why each is or is not the one",
    "to_capi": "turns one key structure into another, number by number",
    "import_key": "each step of making a key has an end of its own",
    "make_alpn_offer": "checks a list and lays out one structure",
    "schan_engine_new": "sets up one structure",
    "receive": "the four ways in which a recv ends",
    "wait_for_socket": "fills two sets for one call",
    "run_until": "the loop of the driver, which is easier to check in one piece",
}


def function_lengths() -> Iterator[tuple[str, int]]:
    """Yield each C function and the lines between its braces."""
    for path in C_SOURCES.values():
        lines = path.read_text(encoding="utf-8").splitlines()
        start = 0
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            elif line == "}" and start:
                head = " ".join(lines[max(0, start - 8) : start])
                names = re.findall(r"(\w+)\((?=[^()]*(?:\([^()]*\)[^()]*)*\)[^()]*$)", head)
                yield names[-1], number - start - 1
                start = 0


def test_long_c_functions_have_a_reason() -> None:
    long = {name for name, lines in function_lengths() if lines > AIM_LINES}

    assert set(LONG_FOR_A_REASON) == long
    assert max(lines for _, lines in function_lengths()) <= MOST_LINES
