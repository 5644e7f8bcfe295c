"""`reformer serve`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.errors import say_note
from reformer.errors import ReformerError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="The folders that `reformer train` has written.")
    ],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="REFORMER_TOKEN",
            help="The bearer token that clients have to send. Other users of the machine can read it on the command "
            "line, and not in the environment.",
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, max=1 << 40, help="The most bytes of a request's body.")] = 64 << 20,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86400, help="Seconds that a body, and then each answer, may take.")
    ] = 120.0,
    max_waiting: Annotated[
        int, typer.Option(min=1, max=1 << 20, help="Records that wait, above which clients are told to come again.")
    ] = 1024,
) -> None:
    """Answer over HTTP: a page at /, an interface for programs (/openapi.json), and Label Studio's protocol.

    The answers are those of `predict`. Without --host only programs of this machine can ask. Ctrl-C and a termination
    request end the server when all that is under way is answered.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        needed = ", ".join(missing).replace("_", "-")
        raise ReformerError(f"serving needs {needed}; pip install 'reformer-torch[serve]'")
    if token is not None and (not token.isascii() or not token.isprintable() or " " in token or not token):
        raise ReformerError("--token: expected ASCII letters, digits and signs without spaces; give such a one")
    from reformer.serving.address import is_loopback
    from reformer.serving.server import ServerOptions
    from reformer.serving.server import serve as run_server

    if not is_loopback(host):
        reach = "others can reach this server" + (", and no --token keeps them out" if token is None else "")
        say_note(f"{host} is no loopback address: {reach}; without encryption they can read along")
    run_server(runs, ServerOptions(host, port, token, max_body, timeout, max_waiting), _say_ready)


def _say_ready(url: str) -> None:
    say_note(f"serving at {url}; Ctrl-C ends it")
