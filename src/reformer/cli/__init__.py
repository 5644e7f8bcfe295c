"""The `reformer` command. A command is a function; what is heavy it imports when it is called."""

import os
import sys
import traceback

import typer

from reformer.cli.convert import convert
from reformer.cli.data import data
from reformer.cli.doctor import doctor
from reformer.cli.environment import env
from reformer.cli.errors import INTERRUPTED, OneMessage, say_error
from reformer.cli.evaluate import evaluate
from reformer.cli.export import export
from reformer.cli.generate import generate
from reformer.cli.init import init
from reformer.cli.inspect import inspect
from reformer.cli.plan import plan
from reformer.cli.predict import predict
from reformer.cli.push import push
from reformer.cli.score import score
from reformer.cli.serve import serve
from reformer.cli.show import show
from reformer.cli.threads import set_thread_defaults
from reformer.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    cls=OneMessage,
    help="Transformers over very long sequences: train, evaluate and use them on documents and texts of any length.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for _command in (
    init,
    plan,
    train,
    evaluate,
    predict,
    show,
    inspect,
    generate,
    score,
    serve,
    convert,
    export,
    push,
    doctor,
    env,
):
    app.command()(_command)
app.add_typer(data, name="data")


def main() -> None:
    """Run the command line."""
    from reformer.terminal import show_messages_plainly

    set_thread_defaults(os.environ)
    if "WORLD_SIZE" in os.environ:
        # Before PyTorch is imported. What it would warn of: connections that end because a process has.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    show_messages_plainly()
    try:
        app(prog_name="reformer")
    except KeyboardInterrupt:
        # Before the command has begun, which has words of its own.
        sys.exit(INTERRUPTED)
    # A mistake of ours: its traceback may quote the text of users.
    except Exception:
        say_error(traceback.format_exc())
        sys.exit(1)
