"""Shares of a device: what a trial asks for, what its process may take, and how Ray Tune packs trials by them."""

from typing import Any

import pytest

from benchmarks.declared_gpu import Order, Schedule, Stub, schedule
from model.gpt2_lora import gpt2_config
from model.ledger import MemoryParts
from sweep.memory.device import Device
from sweep.memory.gpu_sharing import GpuSharing
from sweep.memory.packing import (
    CPU_UNIT_BYTES,
    GPU_UNITS,
    MARGIN,
    PROCESS_BYTES,
    Packing,
    budget_on,
    judging_bytes,
)
from sweep.memory.plan import MemoryPlan
from sweep.proposal import TrialPlanner
from sweep.schema.resources import Resources
from sweep.trial.config import TrialConfig
from sweep.trial.model import Execution
from sweep.tune.shares import Shares

GIB = 2**30
GPU = Device("cuda", 24 * GIB)
CPU = Device("cpu", 8 * GIB)
MEDIUM = gpt2_config("gpt2-medium", {})
SHARE = Resources(cpu=1, gpu="share")


def plan(peak: int, weights: int = 0) -> MemoryPlan:
    return MemoryPlan(Execution(1, False), MemoryParts(weights, 0, 0, 0, peak - weights))


def trial(**changes: Any) -> TrialConfig:
    values = {"method": "lora", "optimizer": "adamw", "lr": 1e-3, "steps": 10, "batch_size": 4, "block_size": 512}
    return TrialConfig.model_validate({**values, "test_every": 10, "test_windows": 4, **changes})


# ------------------------------------------------------------------------------------------------------- arithmetic


def test_a_share_covers_the_predicted_peak_with_margin_and_process_and_hardly_more() -> None:
    packing = Packing(GPU)
    for peak in (1, GIB, 3 * GIB + 17, 11 * GIB):
        share = packing.gpu_share(plan(peak))
        needed = MARGIN * peak + PROCESS_BYTES["cuda"]
        assert needed <= share * 24 * GIB < needed + 24 * GIB / GPU_UNITS + 2
        assert share * GPU_UNITS == pytest.approx(round(share * GPU_UNITS))


def test_trials_whose_shares_fit_together_fit_into_the_device() -> None:
    packing = Packing(GPU)
    peaks = [int(n * GIB) for n in (0.8, 1.7, 2.2, 3.3, 4.4, 5.5)]
    assert sum(packing.gpu_share(plan(peak)) for peak in peaks) <= 1
    assert sum(MARGIN * peak + PROCESS_BYTES["cuda"] for peak in peaks) <= 24 * GIB


@pytest.mark.parametrize("device", [GPU, CPU])
def test_nothing_asks_for_more_than_the_device_has(device: Device) -> None:
    assert Packing(device).demand_bytes(plan(100 * GIB)) == device.capacity_bytes
    assert Packing(GPU).gpu_share(plan(100 * GIB)) == 1.0


def test_a_share_covers_judging_where_that_takes_more_than_training() -> None:
    frozen = plan(3 * GIB, weights=2 * GIB)
    assert Packing(GPU, judging_bytes=GIB // 2).demand_bytes(frozen) == Packing(GPU).demand_bytes(frozen)
    judged = Packing(GPU, judging_bytes=4 * GIB)
    assert judged.demand_bytes(frozen) == Packing(GPU).demand_bytes(plan(6 * GIB))


def test_judging_takes_a_model_and_its_keys_and_values_or_the_reward_model() -> None:
    shape = gpt2_config("gpt2", {"n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 16, "vocab_size": 100})
    cache, weights = 4 * 2 * 2 * 10 * 8, 4 * (2 * (12 * 64 + 13 * 8) + (116 + 2) * 8)
    assert judging_bytes(shape, 10, 0) == weights + cache
    assert judging_bytes(shape, 10, cache + 1) == weights + cache + 1


def test_a_process_is_kept_below_its_share_by_what_it_takes_beside_tensors() -> None:
    own = PROCESS_BYTES["cuda"]
    assert Packing(GPU).cap_bytes(0.25) == 6 * GIB - own
    assert Packing(GPU).cap_bytes(2) == 24 * GIB - own
    assert Packing(GPU).cap_bytes(0.001) == 0
    assert Packing(GPU, limit_bytes=GIB).cap_bytes(0.25) == GIB
    assert Packing(Device("cuda")).cap_bytes(0.25) is None
    for peak in (GIB, 5 * GIB):
        cap = Packing(GPU).cap_bytes(Packing(GPU).gpu_share(plan(peak)))
        assert cap is not None
        assert cap >= MARGIN * peak - 1


def test_on_a_cpu_a_process_may_take_what_the_machine_has() -> None:
    assert Packing(CPU).cap_bytes(0.1) == 8 * GIB - PROCESS_BYTES["cpu"]


def test_a_budget_is_no_more_than_a_trial_can_get() -> None:
    for device in (GPU, CPU):
        budget = budget_on(device, SHARE, None)
        assert budget is not None
        assert device.capacity_bytes is not None
        assert device.capacity_bytes - 2 <= MARGIN * budget + PROCESS_BYTES[device.type] <= device.capacity_bytes
        assert budget_on(device, SHARE, 2 * device.capacity_bytes) == budget
        assert budget_on(device, SHARE, GIB) == GIB
    quarter = budget_on(GPU, Resources(gpu=0.25), None)
    assert quarter is not None
    cap = Packing(GPU).cap_bytes(0.25)
    assert cap is not None
    assert quarter * MARGIN <= cap
    assert budget_on(Device("cuda"), SHARE, None) is None
    assert budget_on(Device("cuda"), SHARE, GIB) == GIB
    assert budget_on(Device("cuda", 100), SHARE, None) == 0


def test_on_a_cpu_trials_that_differ_little_ask_for_the_same_and_can_follow_each_other_in_a_worker() -> None:
    shares = Shares(GpuSharing(Resources(cpu=1), Packing(CPU), {None: MEDIUM}))
    planner = TrialPlanner({None: MEDIUM}, CPU, None)
    asked = [shares(planner.propose_to_ray(trial(batch_size=1, block_size=64, rank=rank))) for rank in (1, 4)]
    assert asked[0] == asked[1]
    assert hash(asked[0]) == hash(asked[1])
    assert asked[0].required_resources["memory"] % CPU_UNIT_BYTES == 0
    assert shares.alone.required_resources["memory"] == 8 * GIB


def test_a_fixed_share_of_a_gpu_is_asked_for_as_it_is_and_whole_when_alone() -> None:
    proposal = TrialPlanner({None: MEDIUM}, GPU, None).propose_to_ray(trial(rank=1))
    for gpu in (0.5, 1):
        shares = Shares(GpuSharing(Resources(cpu=3, gpu=gpu), Packing(GPU), {None: MEDIUM}))
        assert shares(proposal).required_resources == {"CPU": 3, "GPU": gpu}
        assert shares.alone.required_resources == {"CPU": 3, "GPU": 1}


# ------------------------------------------------------------------------------------------------------- scheduling


MIXED = [
    trial(method="full", batch_size=8, block_size=1024),
    trial(rank=1),
    trial(rank=8, precision="bf16"),
    trial(rank=256),
    trial(rank=64),
    trial(rank=8, activation_checkpointing=True),
    trial(rank=8, activation_checkpointing=True, precision="bf16"),
    trial(rank=1, lr=1e-2),
    trial(rank=8, batch_size=8),
]
ONCE, TWICE = trial(rank=1), trial(rank=256)
"""Run out of memory so often."""
BESIDE = [trial(rank=8, precision="bf16"), trial(rank=64)]


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> list[Schedule]:
    """Both schedules, by one Ray: that of the mixed trials, and that of those which run out of memory."""
    retried = [Stub(ONCE, 1, 1), Stub(TWICE, 1, 2), *(Stub(config, 1) for config in BESIDE)]
    folder = tmp_path_factory.mktemp("scheduled")
    return schedule(
        [
            Order(tuple(stubs), MEDIUM, GPU, SHARE, 16, folder / name)
            for name, stubs in (("mixed", [Stub(config, 1.5) for config in MIXED]), ("retried", retried))
        ]
    )


@pytest.mark.slow
def test_ray_never_grants_more_than_the_gpu_and_no_trial_waits_while_it_would_fit(scheduled: list[Schedule]) -> None:
    done, _ = scheduled
    packing = Packing(GPU)
    planner = TrialPlanner({None: MEDIUM}, GPU, budget_on(GPU, SHARE, None))
    shares = {c.name: packing.gpu_share(plan) for c in MIXED if (plan := planner.propose(c).plan)}
    assert done.failed == 0
    assert {span.name: span.share for span in done.spans} == pytest.approx(shares)
    assert len(done.spans) == len(MIXED)
    assert sum(shares.values()) > 1.5  # or nothing would ever wait
    assert done.largest_sum <= 1 + 1e-6
    assert done.longest_wait() < 5  # Ray looks once a second whether what waits fits by now
    full = pytest.approx(shares[MIXED[0].name])
    assert any(max(s.granted, default=0) == full and len(s.granted) > 2 for s in done.samples)  # adapters beside it


@pytest.mark.slow
def test_a_trial_that_ran_out_of_memory_has_the_gpu_to_itself_on_its_retry(scheduled: list[Schedule]) -> None:
    _, done = scheduled
    for config in (ONCE, TWICE):
        first, second = (span for span in done.spans if span.name == config.name)
        assert first.share == pytest.approx(done.asked[config.name])
        assert second.share == 1
        assert all(one is second or one.ended <= second.began or second.ended <= one.began for one in done.spans)
    assert [sum(span.name == config.name for span in done.spans) for config in BESIDE] == [1, 1]
    assert done.failed == 1  # the one that ran out of memory twice
