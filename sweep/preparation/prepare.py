"""What happens once, before any trial: data, base model and prompts are found or made, and checked."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.hub.fetch import Say
from sweep.inputs import Process, SweepInputs
from sweep.memory.device import Device
from sweep.memory.packing import Packing, budget_on
from sweep.preparation.models import FoundModels, find_models
from sweep.preparation.rows import check_rows
from sweep.preparation.sources import SweepSources, resolve_sources
from sweep.proposal import TrialPlanner
from sweep.provenance.code_version import code_version
from sweep.provenance.hashes import Provenance, name_sources
from sweep.provenance.sweep_record import part_of_model
from sweep.schema.resources import Resources
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan
from sweep.trial.config import TrialConfig


@dataclass(frozen=True)
class PreparedBase:
    """What the trials of one base model share.

    Attributes:
        models: base model, tokenizer and judge.
        tokens: of the SFT set.
        provenance: what the trials' results come from.
    """

    models: FoundModels
    tokens: TokenSet
    provenance: Provenance

    @property
    def statistics(self) -> dict[str, int]:
        """What is told of the data, see `TokenSet`, with the numbers of tokens."""
        tokens = self.tokens
        return {
            "train_tokens": tokens.train_tokens,
            "test_tokens": tokens.test_tokens,
            **tokens.statistics,
            **(tokens.general.statistics if tokens.general else {}),
        }

    @property
    def identity(self) -> dict[str, str]:
        """What must stay the same for the trials of one sweep to be comparable, each part as a digest."""
        hashes = self.provenance.hashes
        return {
            "data": self.tokens.train_path.parent.name,
            "base model": hashes["base_weights"],
            "reward": self.models.reward_identity(hashes),
            **({"general text": self.tokens.general.path.parent.name} if self.tokens.general else {}),
        }


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep and what its trials share, whatever machine they run on.

    Attributes:
        plan: the sweep and its trials.
        bases: what the trials of each base model share, by what they say of theirs, see `SweepSpec.models`.
    """

    plan: SweepPlan
    bases: Mapping[str | None, PreparedBase]

    @property
    def spec(self) -> SweepSpec:
        """The sweep as its experiment keeps it."""
        return self.plan.spec

    @property
    def identity(self) -> dict[str, str]:
        """What must stay the same, for all base models together; of several, each part has the model's label."""
        return {
            part_of_model(part, label): digest
            for label, base in self.bases.items()
            for part, digest in base.identity.items()
        }

    @property
    def statistics(self) -> dict[str, Any]:
        """What is told of the data. Where base models differ, as in numbers of tokens, a name has the model's label."""
        told: dict[str, Any] = {}
        for label, base in self.bases.items():
            for name, value in base.statistics.items():
                alike = all(other.statistics.get(name) == value for other in self.bases.values())
                told[name if alike else part_of_model(name, label)] = value
        counted = [(label, counts) for label, base in self.bases.items() for counts in base.tokens.rows]
        rows = [counts._replace(model=label)._asdict() for label, counts in counted]
        return {**told, **({"rows": rows} if rows else {})}

    def planner(self, device: Device, resources: Resources) -> TrialPlanner:
        """Plans the memory of the sweep's trials on a device, each within a budget.

        Where each trial gets whole GPUs and there are several kinds, it is planned for each of them.

        Raises:
            UserError: a trial that does not fit. It is refused now and not after hours.
        """
        shapes = {label: base.models.shape for label, base in self.bases.items()}
        is_text = all(base.tokens.kind == "text" for base in self.bases.values())  # of one set of data
        asked_bytes = self.plan.spec.memory.budget
        by_kind = device.kinds if resources.least_gpu >= 1 else {}
        kinds = {name: (kind, budget_on(kind, resources, asked_bytes)) for name, kind in by_kind.items()}
        budget_bytes = budget_on(device, resources, asked_bytes)
        planner = TrialPlanner(shapes, device, budget_bytes, is_text=is_text, kinds=kinds)
        for trial in self.plan.candidates:
            planner.propose(trial)
        return planner

    def inputs(
        self,
        experiment_dir: Path,
        device: Device,
        *,
        cpus: float,
        checkpoint_seconds: float | None = None,
        process: Process | None = None,
    ) -> dict[str | None, SweepInputs]:
        """What every trial is given, by what it says of its base model.

        Args:
            experiment_dir: where the trials keep their results.
            device: what each of them trains on.
            cpus: how many CPUs each of them has.
            checkpoint_seconds: the least time between two checkpoints of a trial; None: the spec's.
            process: what trials take over from the driver's process; None: they run as they are started.
        """
        spec, began = self.spec, time.time()
        judging_bytes = max(base.models.judging_bytes for base in self.bases.values())
        return {
            label: SweepInputs(
                experiment_dir=experiment_dir,
                model=label,
                base_model=base.models.base_model,
                tokenizer=base.models.tokenizer,
                snapshots=base.models.snapshots,
                train_tokens=base.tokens.train_path,
                test_tokens=base.tokens.test_path,
                validation_tokens=base.tokens.validation_path,
                general_tokens=base.tokens.general.path if base.tokens.general else None,
                prompts=base.models.prompts,
                reward=base.models.reward,
                reading=base.models.reading,
                cpus=cpus,
                packing=Packing(device, judging_bytes, spec.memory.limit),
                checkpoint_seconds=spec.checkpoint_seconds if checkpoint_seconds is None else checkpoint_seconds,
                provenance=base.provenance,
                began=began,
                process=process,
            )
            for label, base in self.bases.items()
        }


def prepare(plan: SweepPlan, cache_dir: Path, say: Say) -> PreparedSweep:
    """Find or make everything that the trials of a sweep share. Writes into the cache only.

    Args:
        plan: the sweep and its trials; models and data must fit all of them.
        cache_dir: where tokens, random base weights and the demo's assets are kept between sweeps.
        say: told what happens, one line at a time.

    Raises:
        UserError: a model, file or prompt that is missing, broken or does not fit, in one line.
    """
    sources = resolve_sources(plan.spec, cache_dir, say)
    bases = {}
    for label, models in find_models(sources, plan.candidates, cache_dir, say).items():
        if label is not None:
            say(f"{label}:")
        trials = [trial for trial in plan.candidates if trial.model == label]
        bases[label] = _prepare_base(models, trials, sources, cache_dir, say)
    return PreparedSweep(plan, bases)


def _prepare_base(
    models: FoundModels, trials: Sequence[TrialConfig], sources: SweepSources, cache_dir: Path, say: Say
) -> PreparedBase:
    """The data as a base model's tokenizer has them, and what its trials' results come from."""
    tokens = prepare_tokens(
        sources.data,
        models.tokenizer,
        cache_dir / "tokens",
        say,
        block_size=max(trial.block_size for trial in trials),
        tokenizer=models.loaded_tokenizer,
        tokenizer_pinned=models.pinned.get(models.tokenizer),
    )
    tokens = replace(tokens, rows=tuple(check_rows(tokens, trials, say)))
    token_files = {"train": tokens.train_path, "test": tokens.test_path}
    if tokens.validation_path:
        token_files["validation"] = tokens.validation_path
    if tokens.general:
        token_files["general"] = tokens.general.path
    provenance = Provenance(code_version(), models.hashes(token_files), name_sources(tokens.sources))
    return PreparedBase(models, tokens, provenance)
