"""`reformer generate`."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.options import MAX_BEAMS, MAX_COUNT, MAX_ROUNDS, RunFolder


def generate(
    run: RunFolder,
    prompt: Annotated[str | None, typer.Argument(help="The prompt; without it, standard input.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="A file that has the prompt.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="The most tokens to generate.")] = 256,
    greedy: Annotated[bool, typer.Option("--greedy", help="Greedy decoding: always the likeliest token.")] = False,
    temperature: Annotated[float, typer.Option(help="Softmax temperature: below 1 less random, above 1 more.")] = 1.0,
    top_k: Annotated[
        int, typer.Option(min=0, max=MAX_COUNT, help="Sample from so many likeliest tokens; 0: from all.")
    ] = 0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens of this summed probability.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, max=MAX_BEAMS, help="Width of the beam search; 1: no beam search.")] = 1,
    num_rounds: Annotated[
        int | None, typer.Option(min=1, max=MAX_ROUNDS, help="Hash rounds; without it, the model's own.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; without it, another text each time.")] = None,
) -> None:
    """Generate text with a language model; it appears token by token, without the prompt."""
    if prompt is not None and prompt_file is not None:
        raise typer.BadParameter("give PROMPT or --prompt-file, not both")
    if prompt is None and prompt_file is None and sys.stdin.isatty():
        raise typer.BadParameter("give PROMPT, --prompt-file, or a text on standard input")
    from reformer.inference.text_generation import SamplingOptions
    from reformer.inference.text_generation import generate as make
    from reformer.runs.loading import load_run
    from reformer.tasks.language_modelling import LanguageModelling
    from reformer.terminal import printable

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

    in_terminal = sys.stdout.isatty()

    def show(text: str) -> None:
        sys.stdout.write(printable(text) if in_terminal else text)
        sys.stdout.flush()

    make(loaded, _prompt(prompt, prompt_file), decoding, show)
    show("\n")


def _prompt(prompt: str | None, file: Path | None) -> bytes:
    if prompt is not None:
        # Bytes of an argument that are not UTF-8 are surrogates in Python; this gives the bytes back.
        return prompt.encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read() if file is None else file.read_bytes()
