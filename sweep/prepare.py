"""What happens once, before any trial: data, base model and prompts are found or made, and checked."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
import transformers
from transformers import GPT2LMHeadModel, PretrainedConfig

from model.gpt2_lora import load_base
from model.weight_files import WeightsError, check_folder, refuse_pointers_in
from sweep.base_shape import check_trials, planned_shape, read_shape
from sweep.code_version import code_version
from sweep.demo.assets import DemoAssets, demo_assets
from sweep.dialogues import DataSources
from sweep.errors import UserError
from sweep.hashes import Provenance, hash_values, input_hashes, name_sources
from sweep.inputs import SweepInputs
from sweep.judge import Reading, check_judge
from sweep.memory_plan import Device
from sweep.packing import Packing, judging_bytes
from sweep.reward_metric import encode_prompts, read_prompts
from sweep.spec import DEMO, STUDY, ModelPart, RewardPart, SweepSpec
from sweep.tokens import TokenSet, load_tokenizer, prepare_tokens
from sweep.trial import TrialConfig

Say = Callable[[str], None]
STUDY_PROMPTS = Path(__file__).parent / "presets" / "prompts.csv"


def prepare(
    spec: SweepSpec, candidates: Sequence[TrialConfig], experiment_dir: Path, cache_dir: Path, say: Say
) -> tuple[SweepInputs, TokenSet]:
    """Find or make everything that trials share. Writes into the cache only.

    Args:
        spec: the sweep.
        candidates: trials that the sweep will or may run; models and data must fit all of them.
        experiment_dir: where the trials will keep their results.
        cache_dir: where tokens, random base weights and the demo's assets are kept between sweeps.
        say: told what happens, one line at a time.

    Raises:
        UserError: a model, file or prompt that is missing, broken or does not fit, in one line.
    """
    assets = demo_assets_if_needed(spec, cache_dir, say)
    found = find_models(spec, candidates, cache_dir, say)
    tokens = prepare_tokens(
        data_sources(spec, assets),
        found.tokenizer,
        cache_dir / "tokens",
        say,
        block_size=max(c.block_size for c in candidates),
        tokenizer=load_tokenizer(found.tokenizer),
    )
    token_files = {"train": tokens.train_path, "test": tokens.test_path}
    if tokens.validation_path:
        token_files["validation"] = tokens.validation_path
    hashes = input_hashes(found.base_model, found.tokenizer, token_files, found.prompts, found.reward)
    inputs = SweepInputs(
        experiment_dir=experiment_dir,
        base_model=found.base_model,
        tokenizer=found.tokenizer,
        train_tokens=tokens.train_path,
        test_tokens=tokens.test_path,
        validation_tokens=tokens.validation_path,
        prompts=found.prompts,
        reward=found.reward,
        cpus=spec.resources.cpu,
        packing=Packing(Device("cpu"), found.judging_bytes, spec.memory.limit),
        checkpoint_seconds=spec.checkpoint_seconds,
        provenance=Provenance(code_version(), hashes, name_sources(tokens.sources)),
        began=time.time(),
        reading=found.reading,
    )
    return inputs, tokens


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
    """

    base_model: str
    tokenizer: str
    reward: RewardPart
    prompts: tuple[str, ...] = ()
    reading: Reading | None = None
    judging_bytes: int = 0


def find_models(spec: SweepSpec, candidates: Sequence[TrialConfig], cache_dir: Path, say: Say) -> FoundModels:
    """Find the base model, its tokenizer and the judge, and have each show that it can do what it is there for.

    Raises:
        UserError: see `prepare`.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    assets = demo_assets_if_needed(spec, cache_dir, say)
    tokenizer_name = _folder(spec.model.tokenizer or spec.model.name, assets.base_model if assets else None)
    _check_folders(spec)
    tokenizer = load_tokenizer(tokenizer_name)
    base_model = _base_model(spec.model, len(tokenizer), assets, cache_dir, say)
    config = read_shape(base_model, "model.name")
    _check_model(config, candidates, len(tokenizer), base_model)
    _check_weights(base_model)
    if spec.reward.model is None:
        return FoundModels(base_model, tokenizer_name, spec.reward)
    reward_model = _folder(spec.reward.model, assets.reward_model if assets else None)
    reward = spec.reward.model_copy(update={"model": reward_model})
    prompts = read_prompts(prompts_file(spec, assets), reward.max_prompts)
    reading, reward_model_bytes = _check_reward_model(reward_model, prompts, reward)
    say("checked the base model and the reward model")
    encoded = encode_prompts(prompts, tokenizer, reward, config.n_positions)
    judging = judging_bytes(config, max(map(len, encoded)) + reward.new_tokens, reward_model_bytes)
    return FoundModels(base_model, tokenizer_name, reward, tuple(prompts), reading, judging)


def demo_assets_if_needed(spec: SweepSpec, cache_dir: Path, say: Say) -> DemoAssets | None:
    """The demo's corpus and models, if the spec names 'demo' anywhere."""
    reward = (spec.reward.model, spec.reward.prompts) if spec.reward.model else ()
    if DEMO not in (spec.model.name, spec.model.tokenizer, *spec.data.train, *spec.data.test, *reward):
        return None
    return demo_assets(cache_dir / "demo", say)


def data_sources(spec: SweepSpec, assets: DemoAssets | None) -> DataSources:
    """The spec's data with 'demo' replaced by the demo's files."""

    def resolve(sources: Sequence[str], demo: Path | None) -> tuple[str, ...]:
        return tuple(str(demo) if source == DEMO else source for source in sources)

    data = spec.data
    return DataSources(
        train=resolve(data.train, assets.train_file if assets else None),
        test=resolve(data.test, assets.test_file if assets else None),
        exclude=resolve(data.exclude, None),
        field=data.field,
        test_fraction=data.test_fraction,
        validation_fraction=data.validation_fraction if spec.search == "tuned" else None,
    )


def prompts_file(spec: SweepSpec, assets: DemoAssets | None) -> Path:
    """The CSV file of evaluation prompts."""
    if spec.reward.prompts == DEMO and assets is not None:
        return assets.prompts_file
    return STUDY_PROMPTS if spec.reward.prompts == STUDY else Path(spec.reward.prompts)


def _folder(name: str, demo: Path | None) -> str:
    return str(demo) if name == DEMO else name


def _base_model(model: ModelPart, tokens: int, assets: DemoAssets | None, cache_dir: Path, say: Say) -> str:
    if model.init == "pretrained":
        return _folder(model.name, assets.base_model if assets else None)
    config = planned_shape(model)
    if config.vocab_size < tokens:
        raise UserError(f"model.shape.vocab_size: {config.vocab_size} is less than the tokenizer's {tokens} tokens")
    identity = json.dumps([config.to_dict(), model.seed, torch.__version__], sort_keys=True)
    folder = cache_dir / "random" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if not folder.is_dir():
        say(f"drawing random weights for {model.name} (seed {model.seed})")
        torch.manual_seed(model.seed)
        partial = folder.with_name(f"{folder.name}.{uuid4().hex}")
        GPT2LMHeadModel(config).save_pretrained(partial)
        try:
            partial.rename(folder)
        except OSError:  # another process was first, with the same weights
            shutil.rmtree(partial)
    return str(folder)


def _check_model(config: PretrainedConfig, candidates: Sequence[TrialConfig], tokens: int, name: str) -> None:
    if config.vocab_size < tokens:
        raise UserError(f"model.tokenizer: has {tokens} tokens, but the model {name!r} knows {config.vocab_size}")
    check_trials(config, candidates, name)


def _check_folders(spec: SweepSpec) -> None:
    """Refuse folders that hold no whole model or tokenizer, before anything in them is opened."""
    pretrained = spec.model.name if spec.model.init == "pretrained" else None
    checks: list[tuple[str, str | None, Callable[[Path], object]]] = [
        ("model.name", pretrained, check_folder),
        ("model.tokenizer", spec.model.tokenizer, refuse_pointers_in),
        ("reward.model", spec.reward.model, check_folder),
    ]
    for key, name, check in checks:
        if name is not None and Path(name).is_dir():
            try:
                check(Path(name))
            except WeightsError as error:
                raise UserError(f"{key}: {name!r}: {error}") from None


def _check_weights(name: str) -> None:
    try:
        load_base(name)
    except WeightsError as error:
        raise UserError(f"model.name: the weights of {name!r} can't be loaded: {error}") from None


def _check_reward_model(name: str, prompts: Sequence[str], reward: RewardPart) -> tuple[Reading, int]:
    """How the judge reads, and the bytes of its weights; a judge that can't judge is refused."""
    try:
        return check_judge(name, prompts, reward.new_tokens, reward.batch_size)
    except Exception as error:  # a damaged file raises whatever its parser raises
        raise UserError(f"reward.model: {name!r} can't judge: {_first_line(error)}") from None


def identity(inputs: SweepInputs, tokens: TokenSet) -> dict[str, str]:
    """What must stay the same for the trials of one sweep to be comparable, each part as a digest."""
    hashes = inputs.provenance.hashes
    return {
        "data": tokens.train_path.parent.name,
        "base model": hashes["base_weights"],
        "reward": reward_identity(inputs, hashes),
    }


def reward_identity(asked: SweepInputs | FoundModels, hashes: Mapping[str, str]) -> str:
    """A digest of what is asked, how it is answered and who judges."""
    reward = asked.reward.model_dump(mode="json", exclude={"batch_size", "prompts", "max_prompts"})
    return hash_values([reward, list(asked.prompts), hashes.get("reward_model")])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
