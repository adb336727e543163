"""What a dry run finds, as a JSON document."""

from collections.abc import Sequence

from basis.documents.part import plain
from basis.documents.plan import DefaultRatePart, PlanDocument, PlannedArmPart, PlannedTrialPart
from sweep.driver.dry_run import DryRun, what_runs
from sweep.machine.hardware import allowed_cpus
from sweep.memory.plan import MemoryPlan
from sweep.trial.config import TrialConfig


def plan_document(found: DryRun, warnings: Sequence[str]) -> PlanDocument:
    """The document of a dry run.

    Args:
        found: what it has found.
        warnings: what else was said.
    """
    plan, spec = found.plan, found.plan.spec
    arms: dict[str, list[TrialConfig]] = {}
    for trial in plan.candidates:
        arms.setdefault(trial.label, []).append(trial)
    return PlanDocument(
        name=spec.name,
        about=spec.about,
        search=spec.search,
        runs=what_runs(plan),
        least_trials=plan.least_trials,
        trials=[_trial(trial, memory) for trial, memory in zip(plan.candidates, found.memory, strict=True)],
        arms=[
            PlannedArmPart(arm=label, trials=len(own), seeds=sorted({trial.seed for trial in own}))
            for label, own in arms.items()
        ],
        device=found.device.type,
        budget_bytes=found.budget_bytes,
        resources=spec.resources.with_cpus(allowed_cpus()).model_dump(mode="json"),
        default_learning_rates=[
            DefaultRatePart(
                method=rate.method,
                optimizer=rate.optimizer,
                low=rate.rates.low,
                high=rate.rates.high,
                source=rate.rates.source,
            )
            for rate in found.default_rates
        ],
        data=found.data,
        warnings=list(warnings),
    )


def _trial(trial: TrialConfig, memory: MemoryPlan) -> PlannedTrialPart:
    return PlannedTrialPart(
        trial=trial.name,
        arm=trial.label,
        seed=trial.seed,
        config=plain(trial.model_dump(mode="json")),
        micro_batch=memory.execution.micro_batch,
        activation_checkpointing=memory.execution.activation_checkpointing,
        predicted_peak_bytes=None if memory.predicted is None else memory.predicted.total,
        predicted_bytes={
            f"{part}_bytes": size for part, size in (memory.predicted.as_dict() if memory.predicted else {}).items()
        },
    )
