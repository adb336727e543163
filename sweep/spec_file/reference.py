"""What each key of a spec means, for people: docs/spec.md as a whole, and `--explain KEY` for one key.

    python -m sweep.spec_file.reference > docs/spec.md

Keys, defaults and sentences come from the schema, see `keys`. The rest of the page stands here.
"""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from basis.errors import UserError, shown
from basis.methods import METHODS, REFUSED
from basis.peft_options import OPTIONS
from sweep.mistakes.accepted import listed
from sweep.mistakes.hints import key_hint
from sweep.schema.sweep_spec import SET_BY_THE_SWEEP, SweepSpec
from sweep.space.learning_rates import FIELD, default_lines
from sweep.spec_file.keys import ADAPTERS_TITLE, Key, all_keys, sections
from sweep.spec_file.optimizers import ABOUT_OPTIMIZERS, optimizer_rows
from sweep.trial.config import TrialConfig

EXAMPLE = """\
about: Does rank matter for my data?
model: {name: gpt2}                  # any GPT-2 on the hub, or ./folder
data: {train: dialogues.jsonl}       # no test file: a part is held out by opening turn
trial: {steps: 1000, batch_size: 8, block_size: 512, test_every: 100, test_windows: 100}
space:                               # branches: each is a grid over its own lists
  - {method: full, optimizer: adamw, lr: [1e-5, 1e-4]}
  - {method: lora, rank: [1, 8, 64], optimizer: adamw, lr: 1e-3}
search: grid
seeds: 3                             # each arm with seeds 0, 1 and 2
tables:
  - {title: LoRA rank, where: {optimizer: adamw}, factor: rank}
reward: {model: null}                # no reward model: losses and memory alone
"""

INTRODUCTION = f"""\
# A spec, key by key

A spec is one YAML file that describes a sweep:

```yaml
{EXAMPLE}```

`python -m sweep.run mine.yaml --dry-run` shows the trials of a spec and runs none.
`python -m sweep.run --explain KEY` prints what stands here about one key.

This page is made from the schema. `python -m sweep.spec_file.reference > docs/spec.md` writes it anew.

## How a spec is put together

Four sources give a spec its values. Each overrides those before it:

1. the preset or file that `extends` names,
2. the file itself,
3. the variant that `variant` chooses from `variants`,
4. `--set KEY=VALUE` on the command line, such as `--set trial.steps=100`, `--set space.0.lr=1e-4` or
   `--set variant=published`.

Mappings are merged key by key. Anything else, lists included, is replaced. Two groups of keys belong together:
whoever gives `data.train` does not inherit `data.test`, `data.exclude` and `data.general`, and whoever gives `space`
does not inherit `tables`.

A relative path leads from the file that names it, or else from the working directory. A name on the Hugging Face hub
may have a branch, tag or commit behind it: `gpt2-medium@main`, `owner/name@main:train`.
"""


class Form(NamedTuple):
    """One of the forms that a value can have, with an example and what it means."""

    name: str
    example: str
    meaning: str


SPACE_FORMS = (
    Form("value", "lr: 1e-4", "Every trial of the branch has it."),
    Form("list", "lr: [1e-5, 1e-4]", "Each value is tried."),
    Form(
        "list of lists",
        "targets: [[attention_in], [mlp_in, mlp_out]]",
        "Each list is tried. One list alone is one value of targets, also_train and betas.",
    ),
    Form(
        "range",
        "lr: {low: 1e-5, high: 1e-3, log: true}",
        "Under search random, optuna and tuned: values from low to high, spaced evenly; with `log: true` on a "
        "logarithmic scale. A field of whole numbers has whole ends.",
    ),
    Form(
        "default",
        "lr: default",
        "Of lr, under search random, optuna and tuned: the documented range of its branch's method and optimizer. "
        "`--dry-run` and `--explain lr` print ranges and their sources; a sweep keeps the ranges.",
    ),
)

SEARCHES = (
    Form("grid", "search: grid", "Every combination of a branch's values runs with every seed."),
    Form(
        "random",
        "{search: random, trials: 20}",
        "20 configs are drawn: first a branch, then a value of each list and range. The best of each group run with "
        "every seed and are tested once; a group is a branch, and in it each value of a table's factor.",
    ),
    Form("optuna", "{search: optuna, trials: 20}", "As random, but Optuna proposes the configs from earlier results."),
    Form(
        "tuned",
        "{search: tuned, trials: 5}",
        "Every arm is tuned by itself: 5 points of its ranges are tried on validation windows, and its best runs with "
        "every seed and is tested once. Every branch needs a range.",
    ),
)

SEED_FORMS = (
    Form("number", "seeds: 3", "Each arm runs with seeds 0, 1 and 2."),
    Form("list", "seeds: [3, 7]", "Each arm runs with these seeds."),
    Form(
        "min and max",
        "seeds: {min: 3, max: 8}",
        "Each arm runs with seeds 0, 1 and 2. Further seeds, up to 8 in all, go to arms that can't be told apart from "
        "the best. Not under search optuna.",
    ),
)

FORMS: dict[str, tuple[str, Sequence[Form]]] = {
    "space": ("Forms of a branch's field", SPACE_FORMS),
    "search": ("Searches", SEARCHES),
    "seeds": ("Forms of seeds", SEED_FORMS),
}
"""By the key whose value has several forms: what they are called together, and each of them."""


ABOUT_METHODS = """\
`method: lora` is loralib's. All others but full are PEFT's, with dropout 0 and around the projections that `targets`
names; options of a method stand under `peft`, by PEFT's names: `peft: {block_size: 64}`. On GPT-2 a method needs a
layer for its `Conv1D`. A method that is not merged runs beside the weights. Where memory is not predicted, a dry run
says unknown, no micro-batch is chosen, and such a trial has its device to itself.

pissa and olora begin from singular values, or an orthonormal basis, of the weights, and leave the rest in them. One
thread computes these, so that the same come on any number of threads. lora-fa has LoRA-FA's frozen A under the trial's
own optimizer. qlora takes the extra `quantized`: its base weights have 4 bits (NF4), and its trained model answers with
them. On a GPU in bf16, weights of projections with an adapter of PEFT's stay in fp32.
"""

METHOD_COLUMNS = ("method", "trains", "source", "rank", "alpha", "options", "merged", "GPT-2", "memory predicted")


def _methods() -> str:
    rows = []
    for name, traits in METHODS.items():
        known = OPTIONS.get(traits.peft or "", {})
        options = [option for option in known if option not in (*traits.fixed, *traits.names.values())]
        rank, alpha = ("yes" if "rank" in traits.fields else "-"), (f"{traits.alpha:g}" if traits.alpha else "-")
        switches = ["yes" if one else "no" for one in (traits.merges, traits.conv1d, traits.predicted)]
        if name == "full":
            switches[0] = "-"
        rows.append(
            (f"`{name}`", traits.trains, traits.source or "-", rank, alpha, ", ".join(options) or "-", *switches)
        )
    refused = [(f"`{name}`", reason) for name, reason in REFUSED.items()]
    tables = _table(METHOD_COLUMNS, rows), _table(("refused", "since"), refused)
    return f"## Methods\n\n{ABOUT_METHODS}\n{tables[0]}\n{tables[1]}"


def reference() -> str:
    """docs/spec.md: every key of a spec, as Markdown."""
    blocks = [INTRODUCTION]
    for section in sections():
        blocks.append(f"## {section.title}\n")
        if section.about:
            blocks.append(f"{section.about}\n")
        blocks.append(_table(("key", "accepted", "default", "meaning"), [_row(key) for key in section.keys]))
        for key in section.keys:
            if key.name in FORMS:
                title, forms = FORMS[key.name]
                blocks.append(f"### {title}\n")
                rows = [(form.name, f"`{form.example}`", form.meaning) for form in forms]
                blocks.append(_table(("form", "example", "meaning"), rows))
        if section.title == ADAPTERS_TITLE:
            blocks.append(_methods())
    return "\n".join([*blocks, optimizers_page()])


def _row(key: Key) -> tuple[str, str, str, str]:
    applies = f" Only {key.applies}." if key.applies and key.group != "lora" else ""  # as its section says
    return f"`{key.name.rpartition('.')[2]}`", key.accepted, key.default, key.meaning + applies


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def optimizers_page() -> str:
    """The table of all optimizers, as Markdown."""
    heads = ("optimizer", "from", "bytes of state per parameter", "weight decay", "lr of full", "lr of LoRA", "options")
    return f"## Optimizers\n\n{ABOUT_OPTIMIZERS}\n{_table(heads, list(optimizer_rows()))}"


def explain_key(key: str) -> str:
    """What one key of a spec means, for the terminal; of a part also which keys it has.

    Args:
        key: dotted, as messages name it ("reward.temperature", "space[0].lr"), or its last part alone ("temperature").

    Raises:
        UserError: in one line, there is no such key; with the key that may be meant.
    """
    known = all_keys()
    name = _plain_name(key, {one.name for one in known})
    meant = [one for one in known if one.name == name]
    meant = meant or [one for one in known if one.name.endswith(f".{name}")]
    if not meant:
        raise UserError(_unknown(key, name, known))
    return "\n\n".join(_explained(one, known) for one in meant)


def _plain_name(key: str, known: set[str]) -> str:
    """The name that a key has on the page: without indices, and a trial's field without where it stands."""
    name = re.sub(r"\[\d+\]|\.\d+(?=\.|$)", "", key.strip())
    field = re.sub(r"^(space|trial|lora)\.", "", name)
    return field if field in known else name


def _explained(key: Key, known: Sequence[Key]) -> str:
    within = _within(key, known)
    facts = {"accepted": "" if within and not key.default else key.accepted, "default": key.default}
    facts |= {"applies": key.applies, "stands": f"in a branch of space, or under {key.group}" if key.group else ""}
    lines = [key.name, f"  {key.meaning}", *(f"  {fact}: {words}" for fact, words in facts.items() if words)]
    if key.name in FORMS:
        lines += [f"  {form.example}\n      {form.meaning}" for form in FORMS[key.name][1]]
    if key.name == FIELD:
        lines += [f"  {line}" for line in default_lines()]
    return "\n".join([*lines, *(f"  {one.name}\n      {one.meaning}" for one in within)])


def _within(key: Key, known: Sequence[Key]) -> list[Key]:
    """The keys of a part; none of a key that holds a plain value."""
    if key.group:
        return []
    if key.name in ("trial", "lora"):
        return [one for one in known if one.group == key.name]
    return [one for one in known if one.name.rpartition(".")[0] == key.name]


def _unknown(key: str, name: str, known: Sequence[Key]) -> str:
    last = name.rpartition(".")[2]
    if last in SET_BY_THE_SWEEP:
        return f"{shown(key)}: no key of a spec; {SET_BY_THE_SWEEP[last]}"
    if hint := key_hint(last):
        return f"{shown(key)}: unknown key; here it is {hint}"
    names = dict.fromkeys([*(one.name for one in known), *(one.name.rpartition(".")[2] for one in known)])
    near = difflib.get_close_matches(name, names, 3) or difflib.get_close_matches(last, names, 3)
    meant = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    return f"{shown(key)}: unknown key{meant}; accepted: {listed([*SweepSpec.model_fields, *TrialConfig.model_fields])}"


if __name__ == "__main__":
    print(reference(), end="")
