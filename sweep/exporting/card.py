"""The model card of an export: what the report says of the arm, how the model is used, and what it was made from."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCardData

from analysis.comparison.arms import Arm
from analysis.page.content import Content, content_of
from analysis.tables.comparison_table import ComparisonTable
from analysis.wording.numbers import show_amount, show_bytes, show_interval
from basis.metrics import METRIC
from basis.packages import ROOT
from model.quantized import QUANT_TYPE
from sweep.data.words import SIDES
from sweep.exporting.weights import QUANTISED, Form, base_name, is_chat
from sweep.hub.pin import hub_model
from sweep.live.privacy import cleaned, without_machine
from sweep.schema.hub_names import dataset_name
from sweep.trial.config import TrialConfig
from sweep.trial.model import quantised_compute_dtype
from sweep.winner.choose import Winner

TEMPLATE = jinja2.Template(
    (ROOT / "sweep" / "exporting" / "card.md.j2").read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined
)
OWN_BASE = "The base weights are no model of the hub. Load them from where you have them, or export with `--merged`."


_FOLDERS = re.compile(r"(?<![^=,\[\s'\"])[/~][^=,\]'\"]*/")
"""What a path in a word of a command line begins with, up to its last part."""


def card_of(winner: Winner, form: Form) -> str:
    """The text of README.md. It holds no secret, no home directory and no machine's name."""
    content = content_of(winner.results)
    metadata = metadata_of(winner, form).to_yaml()
    text = TEMPLATE.render(**_parts(winner, form, content))
    body = "\n".join(line.rstrip() for line in text.splitlines())
    return without_machine(cleaned(f"---\n{metadata}\n---\n\n{body}\n"))


def metadata_of(winner: Winner, form: Form) -> ModelCardData:
    """The head of the card, as the hub reads it."""
    spec, arm = winner.spec, winner.arm
    name, _ = base_name(winner)
    on_hub = hub_model(spec.models[winner.trial.config.model].name) is not None
    sources = [dataset_name(source) for source in spec.data.train]
    loss = arm.mean(arm.loss_metric)
    test = [dataset_name(source) for source in spec.data.test or spec.data.train]
    tested_on = test[0] if test else None
    result = EvalResult(
        task_type="text-generation",
        dataset_type=tested_on.name if tested_on else "other",
        dataset_name=", ".join(PurePath(source).name for source in spec.data.test)
        or "a held-out part of the train data",
        dataset_revision=tested_on.revision if tested_on else None,
        metric_type="loss",
        metric_name=f"{_mean(len(arm.used))}, {METRIC[arm.loss_metric].unit}",
        metric_value=round(loss.estimate, 6),
    )
    return ModelCardData(
        base_model=name if on_hub else None,
        datasets=[source.name for source in sources if source] or None,
        library_name="peft" if form == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["sft", "sft-sweep", winner.trial.config.method, *(["chat"] if is_chat(winner) else [])],
        model_name=_title(winner),
        eval_results=[result],
    )


def _mean(seeds: int) -> str:
    return "test loss of one seed" if seeds == 1 else f"mean test loss over {seeds} seeds"


def _title(winner: Winner) -> str:
    return f"{PurePath(base_name(winner)[0]).name}, {winner.arm.label}"


def _parts(winner: Winner, form: Form, content: Content) -> dict[str, Any]:
    arm, trial, record = winner.arm, winner.trial, winner.trial.record
    metric = METRIC[arm.loss_metric]
    seeds = len(arm.used)
    table = next((table for table in content.tables if arm.label in set(table.frame.get("arm", ()))), None)
    name, revision = base_name(winner)
    on_hub = hub_model(winner.spec.models[trial.config.model].name) is not None
    ledger = content.ledgers.get(table.anchor) if table else None
    return {
        "title": _title(winner),
        "intro": f"{_made(form)} of {_linked(name, revision) if on_hub else f'`{name}`'}, fine-tuned by a sweep, "
        f"{content.title!r}{f': {content.about}' if content.about else ''}",
        "loss_line": f"Test loss {show_interval(arm.mean(arm.loss_metric), 4)} {metric.unit}"
        f" ({'one seed' if seeds == 1 else f'{seeds} seeds'}).",
        "why": f"This arm: {winner.why_arm}. This trial: {winner.why_seed}.",
        "cost": _cost(arm),
        "row": _row(table, arm.label),
        "trust": content.summary.trust,
        "remarks": [*ledger.confounds, *(flag.sentence for flag in ledger.flagged), *ledger.remarks] if ledger else [],
        "usage": _usage(name, revision, form, four_bits=_four_bits(trial.config)),
        "notes": " ".join(_notes(winner, form, on_hub)),
        "config": yaml.safe_dump(_config(trial.config.model_dump(mode="json")), sort_keys=False).strip(),
        "command": _portable(str(winner.results.sweep.get("command") or f"python -m sweep.run {winner.spec.name}")),
        "code": _code(record.get("code")),
        "seed": trial.config.seed,
        "versions": ", ".join(f"{name} {value}" for name, value in (record.get("versions") or {}).items()) + ".",
        "hashes": list(_hashes(record.get("hashes") or {})),
    }


def _portable(command: str) -> str:
    """A command line with the last part of each path: where it lies on this machine says nothing to others."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation that nothing closes
        return command
    return shlex.join(_FOLDERS.sub("", word) for word in words)


def _made(form: Form) -> str:
    return "An adapter" if form == "adapter" else "A version"


def _linked(name: str, revision: str | None) -> str:
    return f"[{name}](https://huggingface.co/{name})" + (f" at `{revision[:12]}`" if revision else "")


def _cost(arm: Arm) -> str:
    """What training took, on average over the arm's seeds; empty where nothing is known of it."""
    means = {name: arm.mean(name).estimate for name in ("train_seconds", "peak_bytes") if name in arm.used}
    known = {name: value for name, value in means.items() if math.isfinite(value)}
    time = [f"took {show_amount(known['train_seconds'])} s"] if "train_seconds" in known else []
    memory = [f"had a peak of {show_bytes(known['peak_bytes'])} of memory"] if "peak_bytes" in known else []
    average = " on average" if len(arm.used) > 1 else ""
    return f"Training{average} {' and '.join([*time, *memory])}." if known else ""


def _row(table: ComparisonTable | None, label: str) -> str:
    """The arm's row of the report's first table that has it, a line for each column."""
    if table is None:
        return "The report has no table with this arm."
    row = table.frame[table.frame["arm"] == label].iloc[0]
    cells = [f"| {heading} | {str(row[heading]).replace('|', '/')} |" for heading in table.frame.columns]
    return "\n".join([f"| {table.title} | |", "| --- | --- |", *cells])


def _usage(name: str, revision: str | None, form: Form, four_bits: str) -> str:
    if form == "merged":
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("FOLDER", dtype="float32")\n'
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
        )
    at = f', revision="{revision}"' if revision else ""
    at += ', dtype="float32"'
    if four_bits:
        at += f", quantization_config=BitsAndBytesConfig(\n    {four_bits}\n)"
    return (
        "from peft import PeftModel\n"
        f"from transformers import AutoModelForCausalLM, AutoTokenizer{', BitsAndBytesConfig' if four_bits else ''}\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{name}"{at})\n'
        'model = PeftModel.from_pretrained(base, "FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
    )


def _four_bits(config: TrialConfig) -> str:
    """How a base model is quantised as the trial had it, in words of Python; empty where it was not."""
    if config.method != QUANTISED:
        return ""
    dtype = str(quantised_compute_dtype(config)).removeprefix("torch.")
    return f'load_in_4bit=True, bnb_4bit_quant_type="{QUANT_TYPE}", bnb_4bit_compute_dtype="{dtype}"'


def _notes(winner: Winner, form: Form, on_hub: bool) -> Iterator[str]:
    yield "Weights are in fp32, as they were trained."
    if form == "adapter" and not on_hub:
        yield OWN_BASE
    if is_chat(winner):
        yield "The tokenizer has the chat template that the examples went through."
    yield "The licence of the base model and of the data apply."


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None and value != {}}


def _code(code: object) -> str:
    if not isinstance(code, Mapping):
        return ""
    commit = str(code.get("commit") or "")
    changed = ", with changes that were not committed" if code.get("dirty") else ""
    return f"{code.get('version', '')}{f' (commit {commit[:12]}{changed})' if commit else ''}".strip()


def _hashes(hashes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each input was, by its name in words; of files their own names alone."""
    for name, value in hashes.items():
        if isinstance(value, Mapping):
            for file, digest in value.items():
                role, _, path = str(file).partition(":")
                known = role in SIDES or not Path(path).is_absolute()
                yield f"{role} {path if known and not path.startswith('/') else PurePath(path).name}", str(digest)
        else:
            yield name.replace("_", " "), str(value)
