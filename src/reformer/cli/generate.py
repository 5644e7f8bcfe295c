"""`reformer generate`."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.options import RunFolder


def generate(
    run: RunFolder,
    prompt: Annotated[str | None, typer.Argument(help="The text to go on with; without it, standard input.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="A file that holds the text to go on with.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="How many tokens to make.")] = 256,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    temperature: Annotated[float, typer.Option(help="Below 1 the likely becomes likelier.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Only among the so many likeliest tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Only among the likeliest that have this probability.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Follow so many texts and keep the likeliest; 1: none.")] = 1,
    num_rounds: Annotated[int | None, typer.Option(min=1, help="Hash rounds; without it, the model's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the choice; without it, another text each time.")] = None,
) -> None:
    """Let a language model go on with a text; what it makes appears as it comes, without the prompt."""
    if prompt is not None and prompt_file is not None:
        raise typer.BadParameter("give PROMPT or --prompt-file, not both")
    if prompt is None and prompt_file is None and sys.stdin.isatty():
        raise typer.BadParameter("give PROMPT, --prompt-file, or a text on standard input")
    from reformer.inference.text_generation import SamplingOptions
    from reformer.inference.text_generation import generate as make
    from reformer.runs.loading import load_run
    from reformer.tasks.language_modelling import LanguageModelling

    decoding = SamplingOptions(
        max_new_tokens=max_new_tokens,
        greedy=greedy,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        beams=beams,
        num_rounds=num_rounds,
        seed=seed,
    )
    loaded = load_run(run, LanguageModelling)
    # The text is UTF-8, whatever the locale.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    make(loaded, _prompt(prompt, prompt_file), decoding, show)
    show("\n")


def _prompt(prompt: str | None, file: Path | None) -> bytes:
    if prompt is not None:
        # What a shell hands over that is not UTF-8 comes back as the bytes that it was.
        return prompt.encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read() if file is None else file.read_bytes()
