"""The sending half of the demo; runs in the Windows Python, knows nothing of what must arrive.

    python demo_sender.py JOB.json

The job names the authority's certificate, the folder and, for each way, port and file names. On
stdout come JSON lines: one per message, one per way, one at the end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import schannel_ffi
from schannel_ffi import smtp

TIMEOUT_SECONDS = 60.0
OPENSSL_MODULES = ("_ssl", "_hashlib")


def main(job_file: str) -> int:
    """Send everything; the exit status is 0 when each message was taken for each recipient."""
    job = json.loads(Path(job_file).read_bytes())
    folder = Path(job["folder"])
    tls = schannel_ffi.TLSConfig(trust=schannel_ffi.TrustStore.from_pem(job["authority"]))
    failed = 0
    for way in job["ways"]:
        try:
            failed += _send_over(way, folder, tls)
        except (OSError, ValueError) as exc:
            print(f"demo: sending over {way['security']} failed: {exc}", file=sys.stderr)
            return 1
    loaded = [name for name in OPENSSL_MODULES if name in sys.modules]
    _tell(
        event="end",
        python=sys.version.split()[0],
        platform=sys.platform,
        openssl_modules=loaded,
    )
    return 1 if failed or loaded else 0


def _send_over(way: dict[str, Any], folder: Path, tls: schannel_ffi.TLSConfig) -> int:
    failed = size = 0
    started = time.perf_counter()
    with smtp.Session(
        way["host"], way["port"], security=way["security"], tls=tls, timeout=TIMEOUT_SECONDS
    ) as session:
        for name in way["files"]:
            message = (folder / name).read_bytes()
            result = session.send(message)
            size += len(message)
            if not result.all_delivered:
                failed += 1
                _tell(event="refused", file=name, reply=str(result.reply))
            _tell(event="sent", file=name)
    _tell(
        event="way",
        security=way["security"],
        seconds=time.perf_counter() - started,
        messages=len(way["files"]),
        bytes=size,
    )
    return failed


def _tell(**event: object) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
