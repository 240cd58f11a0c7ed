"""The commands of `schannel-ffi`: their arguments, and how a wrong one is told.

What they do is in `cli_send` and `cli_probe`, what they read in `cli_input`, how they print in
`cli_output`. Always true here: a mistake is one line on stderr, without a traceback; every input
is checked before anything is connected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import click

import schannel_ffi
from schannel_ffi import _lib, cli_input, cli_probe, cli_send
from schannel_ffi.cli_output import Output, for_command_line, printable
from schannel_ffi.config import TLSConfig, TrustStore
from schannel_ffi.errors import TLSError, UnsupportedPlatform
from schannel_ffi.server_name import ServerName
from schannel_ffi.smtp import Session, SMTPError
from schannel_ffi.smtp.envelope import Envelope

INTERRUPTED = 130  # 128 + SIGINT, as shells count

_SECURITIES = ("tls", "starttls", "insecure-opportunistic", "insecure-plaintext")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; see `__main__.main`."""
    output = Output()
    try:
        status = commands.main(
            list(arguments), prog_name="schannel-ffi", standalone_mode=False, obj=output
        )
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        return 2
    except click.UsageError as exc:
        command = exc.ctx.command_path if exc.ctx else "schannel-ffi"
        output.error(f"{exc.format_message().rstrip('.')}; see: {command} --help")
        return 2
    except click.ClickException as exc:
        output.error(exc.format_message())
        return 2
    except (click.Abort, KeyboardInterrupt):
        output.error("interrupted")
        return INTERRUPTED
    finally:
        output.close()
    return int(status or 0)


class _Commands(click.Group):
    """The commands, whose failures end here: click takes every EOFError for a Ctrl-D."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; return its exit status."""
        try:
            return super().invoke(ctx)
        except (cli_input.BadInput, UnsupportedPlatform) as exc:
            ctx.obj.error(str(exc))
            return 2
        except (TLSError, SMTPError) as exc:
            ctx.obj.error(str(exc))
            return 1


class _Seconds(click.FloatRange):
    """A time: more than 0 seconds."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=86400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse NaN, which is on neither side of a limit."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


_TLS_OPTIONS = (
    click.option(
        "--timeout", type=_Seconds(), help="Caps each single wait (RFC 5321 allows minutes)."
    ),
    click.option("--server-hostname", metavar="NAME", help="The name the certificate is for."),
    click.option("--ca", metavar="FILE", help="PEM file: trust these authorities alone."),
)


def _with_tls_options(command: Any) -> Any:
    for option in _TLS_OPTIONS:
        command = option(command)
    return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(schannel_ffi.__version__, prog_name="schannel-ffi")
def commands() -> None:
    """TLS by Windows' own Schannel: send mail, and look at servers."""


@commands.command()
@click.argument("messages", nargs=-1, required=True)
@click.option(
    "--host",
    required=True,
    metavar="SERVER",
    help="HOST, HOST:PORT, smtps://[USER@]HOST[:PORT] (TLS) or smtp://... (STARTTLS).",
)
@click.option("--port", type=click.IntRange(1, 65535), help="465 for TLS, 587 for STARTTLS.")
@click.option(
    "--security",
    type=click.Choice(_SECURITIES),
    help="Without it: tls on port 465, else starttls, which is then required.",
)
@click.option(
    "--from",
    "sender",
    metavar="ADDRESS",
    help='The envelope sender, "" for the null one; without it from each message.',
)
@click.option(
    "--to",
    "recipients",
    multiple=True,
    metavar="ADDRESS",
    help="An envelope recipient, may be repeated; without it from each message.",
)
@click.option("--user", help="Log in. The password is asked for, if no option below tells it.")
@click.option("--password-file", metavar="FILE", help="Its first line is the password.")
@click.option("--password-env", metavar="NAME", help="The environment variable that holds it.")
@click.option("--all-or-nothing", is_flag=True, help="Send to nobody if anybody is refused.")
@click.option("--insecure-login", is_flag=True, help="Send the password even unprotected.")
@click.option("--insecure-skip-verify", is_flag=True, help="Accept any certificate.")
@_with_tls_options
@click.pass_obj
def send(
    output: Output, /, messages: tuple[str, ...], recipients: tuple[str, ...], **options: Any
) -> int:
    """Send RFC 5322 messages: files, patterns such as *.eml, or - for stdin.

    All go over one connection. Each is told with its queue id, and with the outcome of each
    recipient when not all were accepted.

    Exit status: 0 all delivered; 1 something was refused, failed or is unknown; 2 wrong
    arguments or input, nothing was sent; 130 interrupted.
    """
    names = cli_input.expand(messages)
    cli_input.check_readable(names)
    settings, sender = _session_settings(options), options["sender"]
    _check_addresses(sender, recipients)
    user = options["user"]
    if user == "":
        raise cli_input.BadInput("--user is empty; leave it out to send without a login")
    user = settings.pop("user") if user is None else user
    password = cli_input.read_password(
        user, file=options["password_file"], variable=options["password_env"]
    )
    if password is not None:
        settings["login"] = (user, password)
    session = _session(settings)
    _lib.require()
    job = cli_send.Job(names, sender, recipients or None, all_or_nothing=options["all_or_nothing"])
    return cli_send.send_all(session, job, output)


@commands.command()
@click.argument("server", metavar="HOST:PORT")
@click.option(
    "--starttls",
    type=click.Choice(["smtp"]),
    help="Begin in plain text and ask for TLS; the default on ports 25 and 587.",
)
@click.option(
    "--smtp/--no-smtp",
    "smtp",
    default=None,
    help="Ask for EHLO capabilities; without it where the server greets as SMTP does.",
)
@_with_tls_options
@click.pass_obj
def probe(
    output: Output,
    server: str,
    *,
    starttls: str | None,
    smtp: bool | None,
    timeout: float | None,
    server_hostname: str | None,
    ca: str | None,
) -> int:
    """Tell what a TLS server offers and whether its certificate can be trusted.

    Shows protocol, cipher suite, certificate chain, the verdict on it and, of SMTP servers,
    the capabilities. Where the certificate is refused, the rest is shown all the same.

    Exit status: 0 verified; 1 the certificate is refused or the connection failed; 2 wrong
    arguments.
    """
    if starttls and smtp is False:
        raise click.UsageError("--starttls smtp and --no-smtp exclude each other")
    place = cli_input.Server.parse(server)
    if place.port is None or place.security or place.user:
        raise cli_input.BadInput(f"{server!r} is not HOST:PORT, such as mail.example.org:465")
    _check_names(place.host, server_hostname)
    request = cli_probe.Request.of(
        place.host,
        place.port,
        starttls=bool(starttls),
        smtp=smtp,
        config=TLSConfig(trust=_trust(ca)),
        server_hostname=server_hostname,
        timeout=timeout,
    )
    _lib.require()
    try:
        return cli_probe.probe(request, output)
    except SMTPError as exc:  # its hint is for a Session, which has security=
        output.error(str(exc).replace('use security="tls"', "leave out --starttls"))
        return 1


def _session_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Session, and `user`, as the options say."""
    server = cli_input.Server.parse(options["host"])
    security = (options["security"] or server.security or "").replace("-", "_") or None
    if options["port"] and server.port and options["port"] != server.port:
        raise cli_input.BadInput("--host and --port name different ports")
    config = TLSConfig(
        trust=_trust(options["ca"]), insecure_skip_verify=options["insecure_skip_verify"]
    )
    return {
        "host": server.host,
        "port": options["port"] or server.port or cli_input.DEFAULT_PORTS[security],
        "security": security,
        "tls": config,
        "server_hostname": options["server_hostname"],
        "insecure_login": options["insecure_login"],
        "timeout": options["timeout"],
        "user": server.user,
    }


def _session(settings: dict[str, Any]) -> Session:
    settings.pop("user", None)
    try:
        return Session(**settings)
    except SMTPError as exc:
        raise cli_input.BadInput(for_command_line(str(exc))) from exc


def _trust(ca: str | None) -> TrustStore:
    if ca is None:
        return TrustStore.system()
    try:
        return TrustStore.from_pem(ca)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise cli_input.BadInput(f"--ca {printable(ca)}: {reason}") from exc


def _check_names(*names: str | None) -> None:
    try:
        for name in filter(None, names):
            ServerName.parse(name)
    except ValueError as exc:
        raise cli_input.BadInput(str(exc)) from exc


def _check_addresses(sender: str | None, recipients: Sequence[str]) -> None:
    try:
        Envelope.of(sender or "", recipients or ["postmaster"])
    except SMTPError as exc:
        raise cli_input.BadInput(for_command_line(str(exc))) from exc
