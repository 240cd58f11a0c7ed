"""The command `schannel-ffi`, also `python -m schannel_ffi`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib.util import find_spec

_MISSING_EXTRA = (
    "schannel-ffi: the command line needs {missing}; "
    "install it with: python -m pip install {packages}"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Blocks until all is done.

    Args:
        arguments: what follows the program's name; None takes them from sys.argv.

    Returns:
        0 when all went well, 1 when something was refused or failed or is unknown, 2 when the
        arguments or the input are wrong or something is not installed, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # B103: a redirected one may be cp1252
            stream.reconfigure(errors="backslashreplace")
    missing = [name for name in ("click", "rich") if find_spec(name) is None]  # B103
    if missing:
        print(
            _MISSING_EXTRA.format(missing=" and ".join(missing), packages=" ".join(missing)),
            file=sys.stderr,
        )
        return 2
    from schannel_ffi import cli  # the library runs without click  # noqa: PLC0415

    return cli.run(sys.argv[1:] if arguments is None else list(arguments))


if __name__ == "__main__":
    sys.exit(main())
