"""`kdgap explore`: a study as a page, from its directory or as static files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdgap.cli.judging import Claims, Source, refuse_damaged, thumbnails_of

if TYPE_CHECKING:
    from kdgap.judge.load import GivenClaims

EXAMPLES = (
    "Examples: kdgap explore runs/digits\nkdgap explore imported/published --claims"
    " configs/claims/reference.yaml --export page"
)
LOCAL = ("127.0.0.1", "localhost", "::1")
LEAST_TOKEN = 16


def explore(
    source: Source,
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(help="Another address than this machine's own needs --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help=f"What visitors have to know; at least {LEAST_TOKEN} letters."),
    ] = None,
    claims: Claims = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the page as static files into this folder instead.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="With --export: also the disputed test images, small.")
    ] = False,
) -> None:
    """Look at a study in the browser: verdicts, every seed and curve, live while it runs."""
    from kdgap.cli.printing import say
    from kdgap.errors import BadInputError
    from kdgap.judge.load import load_claims

    given = None if claims is None else load_claims(claims)
    if export is not None:
        from kdgap.explorer.export import export_page
        from kdgap.explorer.snapshot import take

        snapshot = take(source, given)
        page = export_page(snapshot, export, thumbnails_of if images else None)
        for text in page.passed_over:
            say(f"note: {text}")
        say(f"Page: {export / 'index.html'} ({page.files} files)")
        refuse_damaged(snapshot.evidence)
        return
    if images:
        raise BadInputError("--images: is for --export; a page that is served shows them anyway")
    _refuse_public_address(host, token)
    _serve(source, given, host, port, token)


def _refuse_public_address(host: str, token: str | None) -> None:
    from kdgap.errors import BadInputError

    if not host:
        raise BadInputError("--host: names no address")
    if host not in LOCAL and token is None:
        raise BadInputError(
            f"--host {host}: others could look, too; give --token with at least {LEAST_TOKEN}"
            " letters that only your visitors know"
        )
    if token is not None and (
        len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum()
    ):
        raise BadInputError(f"--token: at least {LEAST_TOKEN} letters and digits")


def _serve(
    source: Path, claims: "GivenClaims | None", host: str, port: int, token: str | None
) -> None:
    import signal
    import socket

    from kdgap.cli.printing import say
    from kdgap.errors import BadInputError
    from kdgap.explorer.connections import make_server
    from kdgap.explorer.server import application
    from kdgap.explorer.watch import Watch

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a page that nobody can stop any more may go
    watch = Watch(source, claims)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            # Before the address is told: who asks from here on waits, and is not refused.
            listener.listen()
        except OSError as error:
            raise BadInputError(
                f"--host {host} --port {port}: {error.strerror}; --port 0 takes any that is free"
            ) from None
        used = listener.getsockname()[1]
        app = application(watch, _names(host, used), token, thumbnails_of)
        shown = f"[{host}]" if ":" in host else host
        query = f"?token={token}" if token else ""
        say(f"Explore: http://{shown}:{used}/{query}   (Ctrl-C ends it)")
        make_server(app).run(sockets=[listener])


def _names(host: str, port: int) -> list[str]:
    """Return what a browser may call this server."""
    import socket

    names = {host}
    if host in LOCAL:
        names |= {"127.0.0.1", "localhost", "[::1]"}
    elif host in ("0.0.0.0", "::"):  # noqa: S104  # asked for, and behind a token
        names |= {socket.gethostname(), "127.0.0.1", "localhost", *_addresses()}
    shown = {f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names}
    ports = [f":{port}"] + ([""] if port == 80 else [])
    return [f"{name.lower()}{ending}" for name in sorted(shown) for ending in ports]


def _addresses() -> set[str]:
    import psutil

    return {
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family.name in ("AF_INET", "AF_INET6")
    }
