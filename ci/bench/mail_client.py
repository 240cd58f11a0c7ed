"""Mails through each SMTP client: what `ci/bench.py` runs in the Windows Python.

    stdin     one JSON line of settings, then one line per measurement wanted: {"who": "ours"}
    stdout    a JSON line of facts, then one line per measurement: seconds, cpu, messages

Each candidate has one connection for the whole run and sends the same bytes to one recipient,
over and over. How many messages it sends in one measurement follows from its speed.
"""

from __future__ import annotations

import importlib
import io
import json
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import schannel_ffi
from schannel_ffi import smtp

SENDER, RECIPIENT = "sender@example.com", "recipient@example.com"
WARM_UP = 60
SECONDS = 60.0

Send = Callable[[], None]


class TunedSMTP(smtplib.SMTP_SSL):
    """smtplib with the name of the certificate, and without Nagle's algorithm, as ours."""

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        raw = socket.create_connection((host, port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(raw, server_hostname="localhost")


def open_ours(settings: dict[str, Any], message: bytes) -> Send:
    """Connect by smtp.Session over Schannel."""
    trust = schannel_ffi.TrustStore.from_pem(settings["anchor_pem"].encode("ascii"))
    return _open_session(
        settings,
        message,
        schannel_ffi.TLSConfig(trust=trust, revocation=schannel_ffi.Revocation.OFF),
    )


def open_ours_over_ssl(settings: dict[str, Any], message: bytes) -> Send:
    """Connect by smtp.Session over ssl: what of the difference is SMTP's and what is TLS'."""
    return _open_session(settings, message, _ssl_context(settings))


def _open_session(settings: dict[str, Any], message: bytes, tls: Any) -> Send:
    session = smtp.Session(
        "127.0.0.1",
        settings["mail_port"],
        security="tls",
        tls=tls,
        server_hostname="localhost",
        timeout=SECONDS,
    )
    session.connect()

    def send() -> None:
        result = session.send(message, sender=SENDER, recipients=[RECIPIENT])
        if result.outcomes[RECIPIENT] is not smtp.Outcome.DELIVERED:
            raise ValueError(f"not delivered: {result}")

    return send


def open_smtplib(settings: dict[str, Any], message: bytes) -> Send:
    """Connect by smtplib over ssl."""
    port = settings["mail_port"]
    client = TunedSMTP("127.0.0.1", port, timeout=SECONDS, context=_ssl_context(settings))

    def send() -> None:
        client.sendmail(SENDER, [RECIPIENT], message)

    return send


def _ssl_context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=settings["anchor_pem"])
    return context


def open_pycurl(settings: dict[str, Any], message: bytes) -> Send:
    """Connect by libcurl over Schannel with one easy handle.

    Wine cannot make the chain engine that libcurl asks for (error 77); the certificate is then
    not verified, which changes nothing about mails on an open connection.
    """
    pycurl = importlib.import_module("pycurl")
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, f"smtps://localhost:{settings['mail_port']}")
    handle.setopt(pycurl.RESOLVE, [f"localhost:{settings['mail_port']}:127.0.0.1"])
    handle.setopt(pycurl.CAINFO_BLOB, settings["anchor_pem"])
    handle.setopt(pycurl.SSL_OPTIONS, pycurl.SSLOPT_NO_REVOKE)
    handle.setopt(pycurl.MAIL_FROM, f"<{SENDER}>")
    handle.setopt(pycurl.MAIL_RCPT, [f"<{RECIPIENT}>"])
    handle.setopt(pycurl.UPLOAD, 1)
    handle.setopt(pycurl.INFILESIZE, len(message))
    handle.setopt(pycurl.TIMEOUT, int(SECONDS))

    def send() -> None:
        handle.setopt(pycurl.READDATA, io.BytesIO(message))
        handle.perform()

    try:
        send()
    except pycurl.error as exc:
        if exc.args[0] != pycurl.E_SSL_CACERT_BADFILE:
            raise
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)
    return send


CANDIDATES = {
    "ours": open_ours,
    "ours over ssl": open_ours_over_ssl,
    "smtplib": open_smtplib,
    "pycurl": open_pycurl,
}


class Candidate:
    """A connected client, and how many messages it sends in one measurement."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._repeat(WARM_UP)
        self._messages = max(1, int(seconds / self._repeat(WARM_UP) * WARM_UP))

    def _repeat(self, messages: int) -> float:
        send = self._send
        start = time.perf_counter()
        for _ in range(messages):
            send()
        return time.perf_counter() - start

    def measure(self) -> dict[str, float]:
        """Return seconds, CPU seconds and messages of one measurement."""
        cpu = time.process_time()
        seconds = self._repeat(self._messages)
        cpu = time.process_time() - cpu
        return {"seconds": seconds, "cpu": cpu, "messages": self._messages}


def main() -> None:
    """Obey stdin until it ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    message = settings["message"].encode("ascii")
    candidates: dict[str, Candidate] = {}
    missing: dict[str, str] = {}
    for name, connect in CANDIDATES.items():
        try:
            candidates[name] = Candidate(connect(settings, message), settings["seconds"])
        except Exception as exc:  # noqa: BLE001 - pycurl.error is not known here
            missing[name] = f"{type(exc).__name__}: {exc}"
    versions = {"pycurl": _curl_version()}
    facts = {"candidates": [*candidates], "missing": missing, "versions": versions}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps(candidates[json.loads(line)["who"]].measure()), flush=True)


def _curl_version() -> str:
    try:
        return str(importlib.import_module("pycurl").version)
    except ImportError as exc:
        return str(exc)


if __name__ == "__main__":
    main()
