"""What happens once, before any trial: data, base model and prompts are found or made, and checked."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.data.dialogues import DataSources
from sweep.data.tokenizer import load_tokenizer
from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.demo.assets import DemoAssets
from sweep.inputs import SweepInputs
from sweep.machine.hardware import allowed_cpus
from sweep.memory.packing import Packing
from sweep.memory.plan import Device
from sweep.preparation.models import FoundModels, Say, demo_assets_if_needed, find_models
from sweep.provenance.code_version import code_version
from sweep.provenance.hashes import Provenance, hash_values, input_hashes, name_sources
from sweep.spec.places import DEMO
from sweep.spec.schema import SweepSpec
from sweep.trial.config import TrialConfig


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
        tokenizer_pinned=found.pinned.get(found.tokenizer),
    )
    token_files = {"train": tokens.train_path, "test": tokens.test_path}
    if tokens.validation_path:
        token_files["validation"] = tokens.validation_path
    hashes = input_hashes(found.base_model, found.tokenizer, token_files, found.prompts, found.reward, found.pinned)
    inputs = SweepInputs(
        experiment_dir=experiment_dir,
        base_model=found.base_model,
        tokenizer=found.tokenizer,
        snapshots=found.snapshots,
        train_tokens=tokens.train_path,
        test_tokens=tokens.test_path,
        validation_tokens=tokens.validation_path,
        prompts=found.prompts,
        reward=found.reward,
        cpus=float(spec.resources.with_cpus(allowed_cpus()).cpu),  # of a cluster they are known later
        packing=Packing(Device("cpu"), found.judging_bytes, spec.memory.limit),
        checkpoint_seconds=spec.checkpoint_seconds,
        provenance=Provenance(code_version(), hashes, name_sources(tokens.sources)),
        began=time.time(),
        reading=found.reading,
    )
    return inputs, tokens


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
        validation_fraction=data.validation_fraction if spec.chooses_on_validation else None,
    )


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
    reward = asked.reward.model_dump(mode="json", exclude={"model", "batch_size", "prompts", "max_prompts"})
    return hash_values([reward, list(asked.prompts), hashes.get("reward_model")])
