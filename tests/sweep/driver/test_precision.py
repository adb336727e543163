"""`precision: auto` is settled by the GPUs that were asked, in the plan that runs and in a dry run."""

import pytest

from basis.errors import UserError
from sweep.driver.precision import planned_precision, settled_plan
from sweep.machine.gpu_facts import GpuFacts
from sweep.search_space import SweepPlan
from sweep.spec_file.load import load_plan
from tests.gpus import A100, H100, T4


def study(*settings: str) -> SweepPlan:
    return load_plan("study", list(settings))


@pytest.mark.parametrize(
    ("gpus", "settled"), [((H100,), "bf16"), ((A100, H100), "bf16"), ((T4,), "fp32"), ((H100, T4), "fp32")], ids=str
)
@pytest.mark.parametrize("address", [None, "auto"])
def test_a_sweep_computes_in_what_every_gpu_has(gpus: tuple[GpuFacts, ...], settled: str, address: str | None) -> None:
    said: list[str] = []
    plan = settled_plan(study(), address, gpus, said.append)
    assert plan.precisions == (settled,)
    assert plan.spec.trial["precision"] == settled, "the experiment keeps what was settled"
    why = ", since Tesla T4 has no bf16, but fp16" if T4 in gpus else ""
    assert said == [f"precision auto: {settled}{why}"]


def test_a_comparison_that_loses_a_precision_is_told_of_it() -> None:
    said: list[str] = []
    space = "space=[{method: full, optimizer: adamw, lr: 1e-3, precision: [auto, fp32]}]"
    plan = load_plan("demo", [space, "resources.gpu=1"])
    assert len(settled_plan(plan, None, (A100,), said.append).candidates) == 2
    assert len(settled_plan(plan, None, (T4,), said.append).candidates) == 1
    assert said[-1].startswith("2 trials are 1: ")


def test_nothing_is_guessed_for_a_cluster_whose_gpus_could_not_be_asked() -> None:
    with pytest.raises(UserError, match=r"auto can't be settled, .* accepted: bf16, fp32, tf32 or fp16"):
        settled_plan(study(), "auto", (), print)
    assert settled_plan(study("resources.gpu=0"), "auto", (), print).precisions == ("fp32",)


def test_a_dry_run_says_what_it_assumes_of_a_gpu_that_is_not_here() -> None:
    said: list[str] = []
    assert planned_precision(study(), (), said.append).precisions == ("bf16",)
    assert said == ["precision auto: bf16, assumed: no GPU could be asked here, and those since Ampere have it"]
    assert planned_precision(study(), (T4,), said.append).precisions == ("fp32",)


def test_the_published_variants_stay_in_fp32_and_the_demos_are_alike_on_every_machine() -> None:
    for preset in ("study", "full", "lora-ranks", "optimizers"):
        assert load_plan(preset, ["variant=published"]).precisions == ("fp32",)
    assert load_plan("demo").precisions == load_plan("fair", ["variant=demo"]).precisions == ("fp32",)
    assert load_plan("fair").precisions == load_plan("optimizers").precisions == ("auto",)
