"""A real Postfix for the tests: Debian's package, unpacked and run in folders of its own.

    with Postfix(package()) as server:
        ...connect to ("127.0.0.1", server.tls_port) or server.starttls_port...
        server.mailbox("anna")

Nothing is installed: `dpkg -x` puts the package into `.lab/postfix-<version>`, configuration,
queue and mailboxes lie in a temporary folder, the ports are free ones of the loopback. Postfix
wants to be started as root and to have an account of its own; any existing account that runs no
Postfix will do. So this file is also a program, `python postfix.py FOLDER`, run by root or by
sudo: it starts Postfix, says its ports, and ends it when its stdin ends, which happens even when
the tests are killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "ci"))

from lab_store import FOLDER, LabError, locked, making, run_quietly, say  # noqa: E402

HOST = "127.0.0.1"
DOMAIN = "example.test"
PEOPLE = tuple("abcdefgh")
FULL = "full"  # whose mailbox takes nothing for now
START_SECONDS = 20.0
STOP_SECONDS = 10.0
ATTEMPTS = 5  # a free port may be taken by another program before Postfix has it
DELIVERY_SECONDS = 30.0
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PROGRAMS = ("master", "smtpd", "cleanup", "qmgr", "virtual", "tlsmgr", "trivial-rewrite")

# Four identities that differ from each other, as Postfix demands; every Debian has them.
MAIL_OWNER, SETGID_GROUP, DEFAULT_PRIVILEGES = "daemon", "mail", "nobody"


class Postfix:
    """A running Postfix; a context manager.

    Attributes:
        tls_port: TLS from the first byte, as port 465.
        starttls_port: as port 587, mail is taken after STARTTLS only.
        authority: PEM file of the authority that signed its certificate for `HOST`.
    """

    def __init__(self, package: Path) -> None:
        self._package = package
        self._folder = Path(tempfile.mkdtemp(prefix="schannel-postfix-"))
        self._folder.chmod(0o755)  # Postfix walks into it as another user
        self.authority = self._folder / "authority.pem"
        self.tls_port = self.starttls_port = 0

    def __enter__(self) -> Postfix:
        try:
            self._make_certificates()
            (self._folder / "mail").mkdir()
            self._supervisor = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        try:
            self._supervisor.wait(2 * STOP_SECONDS)
        finally:
            self._supervisor.kill()
            assert self._supervisor.stdout is not None
            self._supervisor.stdout.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def mailbox(self, name: str, *, count: int) -> list[bytes]:
        """Return the messages delivered to `name`, as Postfix wrote them.

        Waits until there are `count`, as Postfix delivers after it has said 250.
        """
        new = self._folder / "mail" / name / "new"
        deadline = time.monotonic() + DELIVERY_SECONDS
        while len(paths := sorted(new.glob("*"))) < count:
            assert time.monotonic() < deadline, f"{len(paths)} of {count} delivered\n{self.log()}"
            with suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(0.02)
        return [path.read_bytes() for path in paths]

    def empty(self, name: str) -> None:
        """Delete what was delivered to `name`."""
        for path in (self._folder / "mail" / name / "new").glob("*"):
            path.unlink()

    def log(self) -> str:
        """Return what Postfix logged so far."""
        with suppress(OSError):
            return (self._folder / "log").read_text("utf-8", "replace")
        return ""

    def _make_certificates(self) -> None:
        import trustme  # only the lab's environment has it  # noqa: PLC0415

        # RSA: Wine 8 takes an ECDSA signature with a short r or s (1 in 128) for a bad one.
        authority = trustme.CA(key_type=trustme.KeyType.RSA)
        authority.cert_pem.write_to_path(self.authority)
        identity = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
        identity.private_key_and_cert_chain_pem.write_to_path(self._folder / "identity.pem")

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, str(self._folder), str(self._package)]
        if os.getuid() != 0:
            if shutil.which("sudo") is None:
                raise LabError(f"Postfix starts only as root: sudo {' '.join(command)}")
            command = ["sudo", "-n", *command]
        supervisor = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert supervisor.stdout is not None
        line = supervisor.stdout.readline()
        report: dict[str, Any] = json.loads(line) if line else {"error": "see stderr above"}
        if "error" in report:
            supervisor.wait(STOP_SECONDS)
            raise LabError(f"Postfix cannot be started: {report['error']}\n{self.log()}")
        self.tls_port, self.starttls_port = report["ports"]
        return supervisor


def package() -> Path:
    """Return the folder with Debian's Postfix, after downloading it where it is missing.

    Raises:
        LabError: this machine cannot download it; the message tells what to run.
    """
    with locked():
        if (found := _unpacked()) is not None:
            return found
        say("downloading Postfix (Debian package, unpacked into the lab, not installed)")
        with tempfile.TemporaryDirectory() as downloads:
            _download("postfix", into=Path(downloads))
            archive = next(Path(downloads).glob("postfix_*.deb"))
            version = archive.name.split("_")[1].replace("%3a", "-")
            with making(FOLDER / f"postfix-{version}", version) as draft:
                _unpack(archive, draft)
                _add_missing_libraries(draft, Path(downloads))
    found = _unpacked()
    assert found is not None
    return found


def _unpacked() -> Path | None:
    folders = sorted(path.parent for path in FOLDER.glob("postfix-*/.recipe"))
    return next((folder for folder in folders if folder.suffix != ".part"), None)


def _download(*names: str, into: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise LabError(
                f"the tests take Postfix from Debian's package, and this machine has no {tool}; "
                "run them on Debian or Ubuntu"
            )
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *names]
    what = "Postfix is missing and cannot be downloaded; run: apt-get update && apt-get download"
    what += f" {' '.join(names)}"
    try:
        run_quietly(command, what=what, cwd=into)
    except LabError:
        if os.getuid() != 0:
            raise
        run_quietly(["apt-get", "update"], what="apt-get update (is there a network?)")
        run_quietly(command, what=what, cwd=into)


def _unpack(archive: Path, into: Path) -> None:
    run_quietly(["dpkg", "-x", archive, into], what=f"unpacking {archive.name}")


def _add_missing_libraries(folder: Path, downloads: Path) -> None:
    """Unpack the libraries of Postfix that this machine has not installed beside it."""
    if not _missing_libraries(folder):
        return
    listing = run_quietly(
        [*("apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests"),
         *("--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", "postfix")],
        what="asking apt for the libraries of Postfix",
    )  # fmt: skip
    names = [name for name in listing.split("\n") if name.startswith("lib") and name != "libc6"]
    _download(*(name for name in names if not _is_installed(name)), into=downloads)
    for archive in downloads.glob("lib*.deb"):
        _unpack(archive, folder)
    if missing := _missing_libraries(folder):
        raise LabError(f"Postfix needs libraries that apt-get did not bring: {', '.join(missing)}")


def _is_installed(name: str) -> bool:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name],
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode == 0 and done.stdout.startswith("ii")


def _missing_libraries(folder: Path) -> list[str]:
    missing: set[str] = set()
    for program in PROGRAMS:
        listing = run_quietly(
            ["ldd", folder / "usr/lib/postfix/sbin" / program],
            what="looking for the libraries of Postfix",
            env=_environment(folder),
        )
        missing.update(line.split()[0] for line in listing.splitlines() if "not found" in line)
    return sorted(missing)


def _environment(folder: Path) -> dict[str, str]:
    libraries = [folder / "usr/lib/postfix", *sorted((folder / "usr/lib").glob("*-linux-gnu"))]
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
    }


# --- the program that root runs ----------------------------------------------------------------


def main(folder: Path, package_folder: Path) -> int:
    """Run Postfix in `folder` until stdin ends."""
    for number in (signal.SIGINT, signal.SIGHUP):  # the tests' end is told by stdin
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        master, ports = _start_on_free_ports(folder, package_folder)
    except (LabError, OSError) as exc:
        print(json.dumps({"error": str(exc)}), flush=True)
        return 1
    try:
        print(json.dumps({"ports": ports}), flush=True)
        sys.stdin.read()
    finally:
        _stop(master)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _start_on_free_ports(
    folder: Path, package_folder: Path
) -> tuple[subprocess.Popen[bytes], list[int]]:
    _make_folders(folder)
    for _ in range(ATTEMPTS):
        ports = _free_ports(2)
        _configure(folder, package_folder, ports)
        master = subprocess.Popen(
            [package_folder / "usr/lib/postfix/sbin/master", "-c", folder, "-d"],
            env=_environment(package_folder),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )
        if _is_ready(master, ports):
            return master, ports
        _stop(master)
    raise LabError(f"it did not come up in {ATTEMPTS} attempts")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _make_folders(folder: Path) -> None:
    """Make the queue and the mailboxes, each owned as Postfix' own installer does it."""
    owner = pwd.getpwnam(MAIL_OWNER)
    queue = folder / "queue"
    queue.mkdir()
    (queue / "pid").mkdir()
    names = "active bounce corrupt defer deferred flush hold incoming private saved trace"
    modes = dict.fromkeys(names.split(), 0o700)
    for name, mode in {**modes, "public": 0o710, "maildrop": 0o730}.items():
        (queue / name).mkdir()
        (queue / name).chmod(mode)
        shutil.chown(queue / name, owner.pw_uid, SETGID_GROUP)
    (folder / "data").mkdir(mode=0o700)
    shutil.chown(folder / "data", owner.pw_uid, owner.pw_gid)
    shutil.chown(folder / "mail", _mailbox_user(), _mailbox_user())


def _mailbox_user() -> int:
    """Return who owns the mailboxes: the one who runs the tests, or nobody instead of root."""
    return int(os.environ.get("SUDO_UID") or pwd.getpwnam(DEFAULT_PRIVILEGES).pw_uid)


def _configure(folder: Path, package_folder: Path, ports: list[int]) -> None:
    settings = {**_places(folder, package_folder), **_behaviour(folder)}
    main_cf = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (folder / "main.cf").write_text(main_cf)
    (folder / "master.cf").write_text(_services(*ports))
    shutil.copy(package_folder / "usr/share/postfix/dynamicmaps.cf", folder)


def _places(folder: Path, package_folder: Path) -> dict[str, object]:
    return {
        "compatibility_level": "3.6",
        "queue_directory": folder / "queue",
        "data_directory": folder / "data",
        "daemon_directory": package_folder / "usr/lib/postfix/sbin",
        "command_directory": package_folder / "usr/sbin",
        "shlib_directory": package_folder / "usr/lib/postfix",
        "meta_directory": folder,
        "maillog_file": folder / "log",
        "maillog_file_prefixes": folder,
        "mail_owner": MAIL_OWNER,
        "setgid_group": SETGID_GROUP,
        "default_privs": DEFAULT_PRIVILEGES,
        "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH",
        "export_environment": "LD_LIBRARY_PATH",
    }


def _behaviour(folder: Path) -> dict[str, object]:
    mailboxes = " ".join(f"{{{name}@{DOMAIN}={name}/}}" for name in (*PEOPLE, FULL))
    refusals = f"{{{FULL}@{DOMAIN}=452 4.2.2 the mailbox is full}}"
    return {
        "myhostname": f"mail.{DOMAIN}",
        "mydestination": "",
        "inet_interfaces": HOST,
        "inet_protocols": "ipv4",
        "mynetworks": "",
        "disable_dns_lookups": "yes",
        "smtpd_peername_lookup": "no",
        "local_header_rewrite_clients": "",  # a message stays as it came
        "alias_maps": "",
        "alias_database": "",
        "default_transport": "error:nothing leaves this machine",
        "virtual_mailbox_domains": DOMAIN,
        "virtual_mailbox_base": folder / "mail",
        "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
        "virtual_uid_maps": f"static:{_mailbox_user()}",
        "virtual_gid_maps": f"static:{_mailbox_user()}",
        "virtual_mailbox_limit": 0,
        "message_size_limit": 30_000_000,
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "smtpd_recipient_restrictions": f"check_recipient_access inline:{{ {refusals} }}",
        "smtpd_tls_chain_files": folder / "identity.pem",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_loglevel": 1,
        "smtpd_tls_received_header": "yes",
        "smtpd_client_connection_rate_limit": 0,
    }


def _services(tls_port: int, starttls_port: int) -> str:
    private = "unix - - n - -"
    return "\n".join(
        (
            f"{HOST}:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes",
            f"{HOST}:{starttls_port} inet n - n - - smtpd",
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "anvil unix - - n - 1 anvil",
            "virtual unix - n n - - virtual",
            *(f"{name} {private} bounce" for name in ("bounce", "defer", "trace")),
            *(f"{name} {private} {name}" for name in ("error", "retry", "proxymap")),
            "postlog unix-dgram n - n - 1 postlogd",
            "",
        )
    )


def _is_ready(master: subprocess.Popen[bytes], ports: list[int]) -> bool:
    """Wait until each port takes a connection and the last one greets."""
    deadline = time.monotonic() + START_SECONDS
    while master.poll() is None and time.monotonic() < deadline:
        try:
            for port in ports:
                with socket.create_connection((HOST, port), timeout=START_SECONDS) as sock:
                    if port == ports[-1]:
                        return sock.recv(4) == b"220 "
        except OSError:
            with suppress(subprocess.TimeoutExpired):
                master.wait(0.02)  # not listening yet
    return False


def _stop(master: subprocess.Popen[bytes]) -> None:
    """End the master, which ends its children; then whatever is left of its process group."""
    with suppress(ProcessLookupError):
        master.terminate()
    with suppress(subprocess.TimeoutExpired):
        master.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(master.pid, signal.SIGKILL)
    master.wait()
    with suppress(ChildProcessError):
        while True:
            os.wait()  # its children, which became ours


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
