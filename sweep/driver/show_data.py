"""--show-data: train examples as the model sees them, with what the loss counts marked."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from basis.errors import UserError
from sweep.data.batches import role_that_counts
from sweep.data.dialogues import bring_hub_data, load_sft
from sweep.data.encode import Encoder
from sweep.data.examples import Example
from sweep.data.template import choose_template
from sweep.data.tokenizer import load_tokenizer
from sweep.machine.quiet import quiet_libraries
from sweep.preparation.sources import ModelSource, resolve_sources
from sweep.search_space import SweepPlan
from sweep.trial.config import TrialConfig

COUNTED = "bold reverse"
"""How a terminal shows what counts; elsewhere it stands in [[ ]]."""


def show_examples(plan: SweepPlan, cache_dir: Path, count: int, console: Console) -> None:
    """Print the first train examples, special tokens included.

    Marked is what the loss counts. An example comes once for each `loss_on` of the sweep.

    Args:
        plan: the sweep.
        cache_dir: where the demo's assets are kept.
        count: how many examples.
        console: where they are printed.

    Raises:
        UserError: data or a tokenizer that can't be read, or a template that fails on an example.
    """
    quiet_libraries()

    def say(text: str) -> None:
        console.print(text, style="dim")

    sources = resolve_sources(plan.spec, cache_dir, say)
    bring_hub_data(sources.data, say)
    examples = load_sft(sources.data).train[:count]
    for model, base in sources.bases.items():
        trials = [trial for trial in plan.candidates if trial.model == model]
        if model is not None and trials:
            console.print(f"{model}:", style="bold")
        if trials:
            _show(examples, base.tokenizer, sources.data.template, trials, console)


def _show(
    examples: Sequence[Example],
    source: ModelSource,
    data_template: str | None,
    trials: Sequence[TrialConfig],
    console: Console,
) -> None:
    """Print examples as a base model with that tokenizer sees them in its trials."""
    fetched = source.fetch_tokenizer()
    tokenizer = load_tokenizer(fetched if isinstance(fetched, Path) else fetched.folder, source.name)
    template = choose_template(tokenizer, data_template)
    encoder = Encoder(tokenizer, template)
    if examples[0].kind != "text":
        console.print(f"messages go through {template.name}", style="dim")
    choices = list(dict.fromkeys(trial.loss_on for trial in trials))
    longest_row = max(trial.block_size for trial in trials)
    for number, example in enumerate(examples, 1):
        try:
            encoded = encoder.encode(example)
        except UserError as error:
            raise UserError(f"train {example.kind[:-1]} {number}: {error}") from None
        shown = min(len(encoded.ids), longest_row + 1)
        for loss_on in choices:
            bit = None if example.kind == "text" else role_that_counts(loss_on)
            counts = [bit is None or bool(role & bit) for role in encoded.roles[:shown]]
            text = Text()
            for counted, places in groupby(range(shown), key=counts.__getitem__):
                said = tokenizer.decode([encoded.ids[place] for place in places], clean_up_tokenization_spaces=False)
                said = said.replace("\x1b", "\N{SYMBOL FOR ESCAPE}")  # or data could steer the terminal
                text.append(said if not counted or console.is_terminal else f"[[{said}]]", COUNTED if counted else "")
            cut = f", {shown:,} of them in a row of block_size {longest_row:,}"
            heading = f"example {number}, loss_on {loss_on}: {len(encoded.ids):,} tokens"
            heading += f"{cut if shown < len(encoded.ids) else ''}; {sum(counts):,} count"
            console.print(heading, style="bold")
            console.print(text, soft_wrap=True)
