"""What happens once, before any trial: data, base model and prompts are found or made, and checked."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.hub.fetch import Say
from sweep.inputs import Process, SweepInputs
from sweep.memory.device import Device
from sweep.memory.packing import Packing
from sweep.preparation.models import FoundModels, find_models
from sweep.preparation.rows import check_rows
from sweep.preparation.sources import resolve_sources
from sweep.proposal import TrialPlanner
from sweep.provenance.code_version import code_version
from sweep.provenance.hashes import Provenance, name_sources
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep and what its trials share, whatever machine they run on.

    Attributes:
        plan: the sweep and its trials.
        models: base model, tokenizer and judge.
        tokens: of the SFT set.
        provenance: what the trials' results come from.
    """

    plan: SweepPlan
    models: FoundModels
    tokens: TokenSet
    provenance: Provenance

    @property
    def spec(self) -> SweepSpec:
        """The sweep as its experiment keeps it."""
        return self.plan.spec

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

    def planner(self, device: Device, budget_bytes: int | None) -> TrialPlanner:
        """Plans the memory of the sweep's trials on a device, each within a budget.

        Raises:
            UserError: a trial that does not fit. It is refused now and not after hours.
        """
        planner = TrialPlanner(self.models.shape, device, budget_bytes, is_text=self.tokens.kind == "text")
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
    ) -> SweepInputs:
        """What every trial is given.

        Args:
            experiment_dir: where the trials keep their results.
            device: what each of them trains on.
            cpus: how many CPUs each of them has.
            checkpoint_seconds: the least time between two checkpoints of a trial; None: the spec's.
            process: what trials take over from the driver's process; None: they run as they are started.
        """
        models, tokens, spec = self.models, self.tokens, self.spec
        return SweepInputs(
            experiment_dir=experiment_dir,
            base_model=models.base_model,
            tokenizer=models.tokenizer,
            snapshots=models.snapshots,
            train_tokens=tokens.train_path,
            test_tokens=tokens.test_path,
            validation_tokens=tokens.validation_path,
            general_tokens=tokens.general.path if tokens.general else None,
            prompts=models.prompts,
            reward=models.reward,
            reading=models.reading,
            cpus=cpus,
            packing=Packing(device, models.judging_bytes, spec.memory.limit),
            checkpoint_seconds=spec.checkpoint_seconds if checkpoint_seconds is None else checkpoint_seconds,
            provenance=self.provenance,
            began=time.time(),
            process=process,
        )


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
    models = find_models(sources, plan.candidates, cache_dir, say)
    tokens = prepare_tokens(
        sources.data,
        models.tokenizer,
        cache_dir / "tokens",
        say,
        block_size=plan.longest_window,
        tokenizer=models.loaded_tokenizer,
        tokenizer_pinned=models.pinned.get(models.tokenizer),
    )
    tokens = replace(tokens, rows=tuple(check_rows(tokens, plan.candidates, say)))
    token_files = {"train": tokens.train_path, "test": tokens.test_path}
    if tokens.validation_path:
        token_files["validation"] = tokens.validation_path
    if tokens.general:
        token_files["general"] = tokens.general.path
    provenance = Provenance(code_version(), models.hashes(token_files), name_sources(tokens.sources))
    return PreparedSweep(plan, models, tokens, provenance)
