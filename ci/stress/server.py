"""An echo server over TLS for `ci/stress.py`; says its port and its authority, then serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import ssl
import sys

import trustme

CHUNK = 1 << 16
OPEN_FILES = 65_536


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the client ends its direction."""
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def serve(lane: str) -> None:
    """Serve for ever."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)  # Wine 8 misjudges some ECDSA signatures
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    version = ssl.TLSVersion.TLSv1_3 if lane == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context, backlog=1024)
    facts = {
        "port": server.sockets[0].getsockname()[1],
        "anchor_pem": authority.cert_pem.bytes().decode("ascii"),
    }
    print(json.dumps(facts), flush=True)
    await server.serve_forever()


def main() -> None:
    """Raise the limit of open files and serve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
