"""A chat from its first turn to its end, in a terminal or with turns from a pipe."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from basis.errors import UserError
from model.gpt2_lora import load_base
from model.precision import products_of_fp32
from sweep.chatting.screen import answer_all
from sweep.chatting.speaker import Speaker, device_of_chat
from sweep.command import say_error
from sweep.data.template import choose_template
from sweep.machine.environment import Interrupted
from sweep.machine.quiet import quiet_libraries
from sweep.winner.choose import choose
from sweep.winner.model import base_of, trained_model

BASE = "base"
RESET, QUIT = "/reset", "/quit"
Say = Callable[[str], None]


def find_speakers(
    experiment_dir: Path,
    arm: str | None,
    against: str | None,
    sampling: dict[str, float | int | None],
    cache_dir: Path,
    say: Say,
    bring: Callable[[Path], None] = lambda trial_dir: None,
) -> list[Speaker]:
    """Who is talked to: an arm, and what it is set against.

    Args:
        experiment_dir: the sweep's.
        arm: its label; None: the arm that the report ranks first.
        against: the label of another arm, or "base"; None: nobody.
        sampling: values of the spec's part `reward` that are to be others.
        cache_dir: as for a sweep.
        say: told which trials are meant.
        bring: brings the weights of a chosen trial, by its directory, where they are not here.

    Raises:
        UserError: no such arm, or its weights or base model can't be had.
    """
    quiet_libraries()
    speakers = []
    for label in [arm, *([against] if against not in (None, BASE) else [])]:
        winner = choose(experiment_dir, label)
        say(f"{winner.arm.label}: {winner.why_arm}; {winner.why_seed}")
        bring(winner.trial.folder)
        base = base_of(winner, cache_dir, say)
        chat = choose_template(base.loaded_tokenizer, winner.spec.data.template)
        reward = base.reward.model_copy(update=sampling)
        trained = trained_model(winner, base).to(device_of_chat())
        speakers.append(Speaker(winner.arm.label, trained, chat, reward))
        if against == BASE:
            speakers.append(Speaker(BASE, load_base(base.base_model).to(device_of_chat()), chat, reward))
    return speakers


def talk(speakers: Sequence[Speaker], console: Console) -> None:
    """Answer turn after turn until the user ends it."""
    number = 0
    with products_of_fp32("fp32"):  # as the sweep's own answers
        for said in _turns(console):
            if said == RESET:
                for speaker in speakers:
                    speaker.forget()
                number = 0
                console.print("a new conversation", style="dim")
                continue
            try:
                answer_all(speakers, said, number, console)
                number += 1
            except UserError as error:
                say_error(str(error))
            except Interrupted:
                raise
            except KeyboardInterrupt:
                console.print("stopped", style="dim")
                number += 1


def _turns(console: Console) -> Iterator[str]:
    """What the user says, without empty turns, up to /quit or the end of input."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip() == QUIT:
                return
            if line.strip():
                yield line.strip()
        return
    with suppress(ImportError):
        import readline

        readline.parse_and_bind("set enable-bracketed-paste on")  # lines that are pasted make one turn
    console.print(Text(f"{RESET} begins anew, {QUIT} or Ctrl-D ends, Ctrl-C stops an answer", style="dim"))
    warned = False
    while True:
        try:
            said = input("> ").strip()
        except EOFError:
            console.print()
            return
        except Interrupted:
            raise
        except KeyboardInterrupt:
            console.print()
            if warned:
                return
            console.print("Ctrl-C again, or Ctrl-D, ends", style="dim")
            warned = True
            continue
        warned = False
        if said == QUIT:
            return
        if said:
            yield said
