"""The models of a sweep, found and checked: base model, tokenizer and judge, each shown to do what it is there for."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel, PretrainedConfig

from basis.checksums import SEALS_FILE, folder_flaw, seal_folder, set_aside
from basis.disks import disk_error, disk_failure
from basis.errors import UserError, first_line, said_by_transformers
from basis.files import publish_folder
from basis.units import show_bytes
from model.gpt2_lora import load_base
from model.weight_files import WeightsError, check_folder, refuse_pointers_in
from sweep.data.tokenizer import load_tokenizer
from sweep.demo.assets import DemoAssets, demo_assets
from sweep.hub.fetch import Snapshot
from sweep.judge.reading import check_judge
from sweep.judge.reward_model import Reading
from sweep.machine.hardware import free_memory_bytes
from sweep.machine.workshop import workshop
from sweep.memory.packing import judging_bytes
from sweep.memory.shape import check_trials, planned_shape, read_shape, refuse_broken
from sweep.preparation.disk_room import refuse_without_room
from sweep.preparation.model_folders import ModelFolders
from sweep.reward_metric import encode_prompts, read_prompts
from sweep.spec.hub_names import shown
from sweep.spec.model import ModelPart
from sweep.spec.places import DEMO, PRESETS, STUDY
from sweep.spec.reward import RewardPart
from sweep.spec.schema import SweepSpec
from sweep.trial.config import TrialConfig

Say = Callable[[str], None]
STUDY_PROMPTS = PRESETS / "prompts.csv"


@dataclass(frozen=True)
class FoundModels:
    """The models of a sweep, found and checked.

    Attributes:
        base_model: folder of the base model.
        tokenizer: folder of its tokenizer.
        reward: the spec's, with the folder of its reward model.
        prompts: what is asked; none without a reward model.
        reading: how the judge reads.
        judging_bytes: what judging takes, see `packing.judging_bytes`.
        snapshots: which of the folders come from the hub.
    """

    base_model: str
    tokenizer: str
    reward: RewardPart
    prompts: tuple[str, ...] = ()
    reading: Reading | None = None
    judging_bytes: int = 0
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)

    @property
    def pinned(self) -> dict[str, str]:
        """name@commit of each folder that comes from the hub, by the folder."""
        return {folder: snapshot.pinned for folder, snapshot in self.snapshots.items()}


def find_models(spec: SweepSpec, candidates: Sequence[TrialConfig], cache_dir: Path, say: Say) -> FoundModels:
    """Find the base model, its tokenizer and the judge, and have each show that it can do what it is there for.

    Raises:
        UserError: see `prepare`.
    """
    assets = demo_assets_if_needed(spec, cache_dir, say)
    folders = ModelFolders(assets, say)
    pretrained = spec.model.init == "pretrained"
    if pretrained:
        base_model = folders.model(spec.model.name, "model.name", assets.base_model if assets else None)
        refuse_broken(base_model, f"model.name: {shown(spec.model.name)!r}", check_folder)
    tokenizer_folder = folders.tokenizer(spec.model)
    tokenizer_name = shown(spec.model.tokenizer or spec.model.name)
    refuse_broken(tokenizer_folder, f"tokenizer {tokenizer_name!r}", refuse_pointers_in)
    tokenizer = load_tokenizer(tokenizer_folder, tokenizer_name)
    if not pretrained:
        base_model = _random_weights(spec.model, len(tokenizer), cache_dir, say)
    config = read_shape(base_model, "model.name", shown(spec.model.name))
    _check_model(config, candidates, len(tokenizer), shown(spec.model.name))
    _check_weights(base_model, shown(spec.model.name))
    if spec.reward.model is None:
        return FoundModels(base_model, tokenizer_folder, spec.reward, snapshots=folders.snapshots)
    judge = folders.model(spec.reward.model, "reward.model", assets.reward_model if assets else None)
    reward = spec.reward.model_copy(update={"model": judge})
    prompts = read_prompts(prompts_file(spec, assets), reward.max_prompts)
    reading, judge_bytes = _check_judge(judge, shown(spec.reward.model), prompts, reward)
    say("checked the base model and the reward model")
    encoded = encode_prompts(prompts, tokenizer, reward, config.n_positions)
    judging = judging_bytes(config, max(map(len, encoded)) + reward.new_tokens, judge_bytes)
    return FoundModels(
        base_model, tokenizer_folder, reward, tuple(prompts), reading, judging, snapshots=folders.snapshots
    )


def demo_assets_if_needed(spec: SweepSpec, cache_dir: Path, say: Say) -> DemoAssets | None:
    """The demo's corpus and models, if the spec names 'demo' anywhere."""
    reward = (spec.reward.model, spec.reward.prompts) if spec.reward.model else ()
    if DEMO not in (spec.model.name, spec.model.tokenizer, *spec.data.train, *spec.data.test, *reward):
        return None
    return demo_assets(cache_dir / "demo", say)


def prompts_file(spec: SweepSpec, assets: DemoAssets | None) -> Path:
    """The CSV file of evaluation prompts."""
    if spec.reward.prompts == DEMO and assets is not None:
        return assets.prompts_file
    return STUDY_PROMPTS if spec.reward.prompts == STUDY else Path(spec.reward.prompts)


def _random_weights(model: ModelPart, tokens: int, cache_dir: Path, say: Say) -> str:
    config = planned_shape(model)
    if config.vocab_size < tokens:
        raise UserError(f"model.shape.vocab_size: {config.vocab_size} is less than the tokenizer's {tokens} tokens")
    width, layers = config.n_embd, config.n_layer
    size_bytes = 4 * (width * (config.vocab_size + config.n_positions + 2) + layers * (12 * width**2 + 13 * width))
    if size_bytes > (free := free_memory_bytes()):
        raise UserError(
            f"model.shape: its weights take {show_bytes(size_bytes)} in fp32, and {show_bytes(free)} of memory are free"
        )
    identity = json.dumps([config.to_dict(), model.seed, torch.__version__], sort_keys=True)
    folder = cache_dir / "random" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if (folder / SEALS_FILE).exists() and (found := folder_flaw(folder)):
        say(f"{folder}: {found}{set_aside(folder)}; made again")
    if not folder.is_dir():
        refuse_without_room(f"{shown(model.name)} with random weights", folder.parent, size_bytes)
        say(f"drawing random weights for {shown(model.name)} (seed {model.seed})")
        torch.manual_seed(model.seed)
        try:
            with workshop(folder.parent) as place:
                GPT2LMHeadModel(config).save_pretrained(place / folder.name)
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


def _check_model(config: PretrainedConfig, candidates: Sequence[TrialConfig], tokens: int, name: str) -> None:
    if config.vocab_size < tokens:
        raise UserError(f"model.tokenizer: has {tokens} tokens, but the model {name!r} knows {config.vocab_size}")
    check_trials(config, candidates, name)


def _check_weights(folder: str, name: str) -> None:
    try:
        load_base(folder)
    except WeightsError as error:
        raise UserError(f"model.name: the weights of {name!r} can't be loaded: {error}") from None


def _check_judge(folder: str, name: str, prompts: Sequence[str], reward: RewardPart) -> tuple[Reading, int]:
    """How the judge reads, and the bytes of its weights; a judge that can't judge is refused."""
    try:
        return check_judge(folder, prompts, reward.new_tokens, reward.batch_size)
    except Exception as error:  # a damaged file raises whatever its parser raises
        raise UserError(f"reward.model: {name!r} can't judge: {said_by_transformers(error)}") from None
