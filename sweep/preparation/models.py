"""The models of a sweep, found and checked: base model, tokenizer and judge, each shown to do what it is there for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, PretrainedConfig, PreTrainedTokenizerBase

from basis.checksums import SEALS_FILE, folder_flaw, seal_folder, set_aside
from basis.disks import disk_error, disk_failure
from basis.errors import UserError, first_line, said_by_transformers
from basis.files import publish_folder
from basis.units import show_bytes
from model.architectures import ArchitectureError
from model.decoder import check_decoder
from model.gpt2_lora import load_base
from model.model_sizes import model_sizes
from model.weight_files import WeightsError, check_folder, refuse_pointers_in
from sweep.data.dialogues import bring_hub_data, load_sft
from sweep.data.prompts import Question, first_turns
from sweep.data.rendered_prompts import Prompt, answer_template, render
from sweep.data.template import choose_template
from sweep.data.tokenizer import load_tokenizer
from sweep.hub.fetch import Say, Snapshot
from sweep.judge.reading import check_judge
from sweep.judge.reward_model import Reading
from sweep.machine.hardware import free_memory_bytes
from sweep.machine.workshop import workshop
from sweep.memory.packing import judging_bytes
from sweep.memory.shape import check_trials_fit, planned_shape, read_shape, refuse_broken
from sweep.preparation.disk_room import refuse_without_room
from sweep.preparation.questions import check_answers, file_questions
from sweep.preparation.sources import BaseSources, ModelSource, SweepSources, resolve_sources
from sweep.provenance.hashes import asked, hash_values, input_hashes
from sweep.reward_metric import encode_prompts
from sweep.schema.hub_names import shown_name
from sweep.schema.model import ModelPart
from sweep.schema.reward import RewardPart
from sweep.schema.sweep_spec import SweepSpec
from sweep.trial.config import TrialConfig


@dataclass(frozen=True)
class FoundModels:
    """The models of a sweep's trials of one base model, found and checked.

    Attributes:
        base_model: folder of the base model.
        tokenizer: folder of its tokenizer.
        loaded_tokenizer: that tokenizer, loaded.
        shape: the base model's configuration.
        reward: the spec's, with the folder of its reward model, and with its template unless that is the chat template.
        prompts: what is asked; none where nothing judges.
        reading: how the judge reads.
        judging_bytes: what judging takes, see `sweep.memory.packing.judging_bytes`.
        snapshots: which of the folders come from the hub.
    """

    base_model: str
    tokenizer: str
    loaded_tokenizer: PreTrainedTokenizerBase
    shape: PretrainedConfig
    reward: RewardPart
    prompts: tuple[Prompt, ...] = ()
    reading: Reading | None = None
    judging_bytes: int = 0
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)

    @property
    def pinned(self) -> dict[str, str]:
        """name@commit of each folder that comes from the hub, by the folder."""
        return {folder: snapshot.pinned for folder, snapshot in self.snapshots.items()}

    def hashes(self, token_files: Mapping[str, Path]) -> dict[str, str]:
        """The hashes of these models and of files of tokens, see `input_hashes`."""
        return input_hashes(self.base_model, self.tokenizer, token_files, self.prompts, self.reward, self.pinned)

    def reward_identity(self, hashes: Mapping[str, str]) -> str:
        """A digest of what is asked, how it is answered and who judges; `hashes` are those of the models."""
        left_out = {"model", "batch_size", "prompts", "max_prompts", *(["judge"] if self.reward.judge is None else [])}
        reward = self.reward.model_dump(mode="json", exclude=left_out)
        return hash_values([reward, asked(self.prompts, self.reward), hashes.get("reward_model")])


def find_models(
    sources: SweepSources, trials: Sequence[TrialConfig], cache_dir: Path, say: Say
) -> dict[str | None, FoundModels]:
    """Find the base models, their tokenizers and the judge, and have each show that it can do what it is there for.

    Args:
        sources: where they lie.
        trials: that the models must fit; a base model of which there is none is left out.
        cache_dir: where random base weights are kept.
        say: told what happens, one line at a time.

    Returns:
        The models by what trials say of their base model, see `SweepSpec.models`.

    Raises:
        UserError: a model, tokenizer or prompt that is missing, broken or does not fit.
    """
    of_model = {label: [trial for trial in trials if trial.model == label] for label in sources.bases}
    bases = {
        label: _find_base(base, sources, of_model[label], cache_dir, say)
        for label, base in sources.bases.items()
        if of_model[label]
    }
    if sources.reward.judged_by is None:
        return bases
    file = sources.prompts_file
    questions = _test_questions(sources, say) if file is None else file_questions(file, sources.reward)
    judge = _FoundJudge()
    if sources.judge is not None:
        judge = _find_judge(sources.judge, questions, sources.reward, say)
    judged = {label: _with_judge(base, questions, sources.data.template, judge) for label, base in bases.items()}
    words = "base model" if len(bases) == 1 else "base models"
    say(f"checked the {words} and the {'right answers' if sources.judge is None else 'reward model'}")
    return judged


def find_base(spec: SweepSpec, trial: TrialConfig, cache_dir: Path, say: Say) -> FoundModels:
    """The base model of one trial with its tokenizer; nobody asks it anything, so prompts and judge are missing.

    Raises:
        UserError: they are missing, broken or do not fit.
    """
    sources = resolve_sources(spec, cache_dir, say)
    found = _find_base(sources.bases[trial.model], sources, [trial], cache_dir, say)
    return replace(found, reward=found.reward.model_copy(update={"model": None}))


def _find_base(
    base: BaseSources, sources: SweepSources, trials: Sequence[TrialConfig], cache_dir: Path, say: Say
) -> FoundModels:
    """A base model with its tokenizer, and how its answers are sampled; prompts and judge are still missing."""
    source, pretrained = base.base_model, base.model.init == "pretrained"
    snapshots: dict[str, Snapshot] = {}
    if pretrained:
        base_model = _folder_of(source.fetch(say), snapshots)
        refuse_broken(base_model, f"{source.key}: {source.name!r}", check_folder)
    tokenizer_folder = _folder_of(base.tokenizer.fetch_tokenizer(), snapshots)
    refuse_broken(tokenizer_folder, f"tokenizer {base.tokenizer.name!r}", refuse_pointers_in)
    tokenizer = load_tokenizer(tokenizer_folder, base.tokenizer.name)
    if not pretrained:
        base_model = _random_weights(base.model, len(tokenizer), cache_dir, say)
    shape = read_shape(base_model, source.key, source.name)
    _check_shape(shape, trials, len(tokenizer), source.name)
    _check_weights(base_model, source.name)
    template = answer_template(sources.reward.template, sources.data.template, tokenizer)
    reward = sources.reward.model_copy(update={"template": template})
    return FoundModels(base_model, tokenizer_folder, tokenizer, shape, reward, snapshots=snapshots)


def _folder_of(fetched: Path | Snapshot, snapshots: dict[str, Snapshot]) -> str:
    """The folder of what was fetched; one of the hub is put among the snapshots."""
    if isinstance(fetched, Path):
        return str(fetched)
    snapshots[str(fetched.folder)] = fetched
    return str(fetched.folder)


class _FoundJudge(NamedTuple):
    """A reward model that has shown that it can judge; without one all is empty.

    Attributes:
        folder: where it lies.
        reading: how it reads.
        model_bytes: of its weights.
        snapshots: the folder, if it comes from the hub.
    """

    folder: str | None = None
    reading: Reading | None = None
    model_bytes: int = 0
    snapshots: Mapping[str, Snapshot] = {}


def _find_judge(judge: ModelSource, questions: Sequence[Question], reward: RewardPart, say: Say) -> _FoundJudge:
    """The reward model, tried once: it reads the same questions whatever base model answers."""
    snapshots: dict[str, Snapshot] = {}
    folder = _folder_of(judge.fetch(say), snapshots)
    asked = [question.text for question in questions]
    reading, model_bytes = _check_judge(judge.name, folder, asked, reward)
    return _FoundJudge(folder, reading, model_bytes, snapshots)


def _with_judge(
    base: FoundModels, questions: Sequence[Question], data_template: str | None, judge: _FoundJudge
) -> FoundModels:
    """A base model with the judge, and with the questions as it is asked them."""
    tokenizer, reward = base.loaded_tokenizer, base.reward
    prompts = render(questions, choose_template(tokenizer, data_template), reward.template)
    encoded = encode_prompts(prompts, tokenizer, reward.new_tokens, base.shape.max_position_embeddings)
    longest = max(map(len, encoded)) + reward.new_tokens
    return replace(
        base,
        reward=reward.model_copy(update={"model": judge.folder}),
        prompts=prompts,
        reading=judge.reading,
        judging_bytes=judging_bytes(base.shape, longest, judge.model_bytes),
        snapshots={**base.snapshots, **judge.snapshots},
    )


def _test_questions(sources: SweepSources, say: Say) -> list[Question]:
    """The first turns of the test set. It is read once more than for its tokens, which may come from the cache."""
    reward = sources.reward
    bring_hub_data(sources.data, say)
    test = load_sft(sources.data).test
    questions = first_turns(test, reward.max_prompts, answered=reward.judge is not None)
    try:
        check_answers(questions, reward)
    except UserError as error:
        raise UserError(f"reward.prompts: 'test': {error}") from None
    return questions


def _random_weights(model: ModelPart, tokens: int, cache_dir: Path, say: Say) -> str:
    config = planned_shape(model)
    if config.vocab_size < tokens:
        raise UserError(
            f"model.shape.vocab_size: {config.vocab_size} is less than the tokenizer's {tokens} tokens; accepted: "
            f"{tokens} or more"
        )
    size_bytes = 4 * model_sizes(config).parameters
    if size_bytes > (free := free_memory_bytes()):
        raise UserError(
            f"model.shape: its weights take {show_bytes(size_bytes)} in fp32, and {show_bytes(free)} of memory are free"
        )
    identity = json.dumps([config.to_dict(), model.seed, torch.__version__], sort_keys=True)
    folder = cache_dir / "random" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if (folder / SEALS_FILE).exists() and (found := folder_flaw(folder)):
        say(f"{folder}: {found}{set_aside(folder)}; made again")
    if not folder.is_dir():
        refuse_without_room(f"{shown_name(model.name)} with random weights", folder.parent, size_bytes)
        say(f"drawing random weights for {shown_name(model.name)} (seed {model.seed})")
        torch.manual_seed(model.seed)
        try:
            with workshop(folder.parent) as place:
                AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(place / folder.name)
                seal_folder(place / folder.name)
                publish_folder(place / folder.name, folder)
        except Exception as error:  # safetensors says what the disk says in an error of its own
            number = disk_failure(error)
            if number is None and not isinstance(error, OSError):
                raise
            if not folder.is_dir():  # else another process was first, with the same weights
                why = first_line(error) if number is None else disk_error(folder, number, size_bytes).strerror
                raise UserError(f"{folder.parent}: random weights can't be kept ({why})") from None
    return str(folder)


def _check_shape(shape: PretrainedConfig, trials: Sequence[TrialConfig], tokens: int, name: str) -> None:
    if shape.vocab_size < tokens:
        raise UserError(f"model.tokenizer: has {tokens} tokens, but the model {name!r} knows {shape.vocab_size}")
    check_trials_fit(shape, trials, name)


def _check_weights(folder: str, name: str) -> None:
    try:
        model = load_base(folder)
    except WeightsError as error:
        raise UserError(f"model.name: the weights of {name!r} can't be loaded: {error}") from None
    try:
        if not isinstance(model, GPT2LMHeadModel):
            check_decoder(model)
    except ArchitectureError as error:
        raise UserError(f"model.name: {name!r} is refused: {error}") from None


def _check_judge(name: str, folder: str, asked: Sequence[str], reward: RewardPart) -> tuple[Reading, int]:
    """How the judge reads, and the bytes of its weights; a judge that can't judge is refused."""
    try:
        return check_judge(folder, asked, reward.new_tokens, reward.batch_size)
    except Exception as error:  # a damaged file raises whatever its parser raises
        raise UserError(f"reward.model: {name!r} can't judge: {said_by_transformers(error)}") from None
