"""How many trials share a GPU: under `auto` only where that pays, under `share` as memory allows."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config

from basis.errors import UserError
from model.gpt2_lora import gpt2_config
from sweep.driver import dry_run, execute
from sweep.machine.gpu_facts import GpuFacts
from sweep.memory.device import Device
from sweep.memory.gpu_sharing import GpuSharing
from sweep.memory.packing import Packing
from sweep.memory.plan import MemoryPlan, plan_trial
from sweep.memory.shape import planned_shape
from sweep.schema.resources import Resources
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from sweep.trial.config import TrialConfig
from tests.conftest import Here, Parts
from tests.gpus import A100, H100, T4

SMALL = gpt2_config("gpt2", {"n_layer": 4, "n_embd": 256, "n_head": 4})


def sharing(gpu: GpuFacts | None, asked: float | str, shape: GPT2Config) -> GpuSharing:
    device = Device("cuda", gpu.free_bytes if gpu else 2**36, (gpu,) if gpu else ())
    return GpuSharing(Resources.model_validate({"gpu": asked}), Packing(device), {None: shape})


def planned(how: GpuSharing, trials: list[TrialConfig]) -> list[tuple[TrialConfig, MemoryPlan]]:
    return [(config, plan_trial(config, how.shapes[None], how.packing.device, None)) for config in trials]


def shares(how: GpuSharing, trials: list[TrialConfig]) -> list[float]:
    return [how.share(config, plan) for config, plan in planned(how, trials)]


def study(precision: str) -> tuple[GPT2Config, list[TrialConfig]]:
    spec = load_spec("study", [f"trial.precision={precision}"])
    return planned_shape(spec.model), enumerate_trials(spec)


def small(**changes: Any) -> list[TrialConfig]:
    values = {"optimizer": "adamw", "lr": 1e-3, "steps": 10, "test_every": 10, "test_windows": 4, "batch_size": 4}
    arms: list[dict[str, Any]] = [{"method": "full"}, {"method": "lora", "rank": 8}]
    return [
        TrialConfig.model_validate({**values, "block_size": 256, "precision": "bf16", **a, **changes}) for a in arms
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "precision"), [(H100, "bf16"), (A100, "fp32"), (T4, "fp32")])
def test_each_arm_of_the_study_gets_a_whole_gpu_since_it_keeps_one_busy(gpu: GpuFacts, precision: str) -> None:
    shape, arms = study(precision)
    how = sharing(gpu, "auto", shape)
    assert shares(how, arms) == [1.0] * 7
    assert how.described(planned(how, arms)) == (
        "one trial at a time on each GPU: each is predicted to keep it busy for 100 % of a step"
    )


def test_share_has_the_memory_alone_decide() -> None:
    shape, arms = study("bf16")
    how = sharing(H100, "share", shape)
    by_memory = [how.packing.gpu_share(plan) for _, plan in planned(how, arms)]
    assert shares(how, arms) == by_memory
    assert max(by_memory) < 0.2
    told = how.described(planned(how, arms))
    assert re.fullmatch(r"up to \d+ trials share a GPU: each is predicted to take \d+ to \d+ % of its memory", told)


def test_trials_of_a_small_model_share_a_fast_gpu_and_together_keep_it_no_more_than_busy() -> None:
    how = sharing(H100, "auto", SMALL)
    given = shares(how, small())
    assert all(0.2 < share <= 1 / 2 for share in given)
    assert all(round(100 * share) == pytest.approx(100 * share) for share in given)
    assert "trials share a GPU: each is predicted to keep it busy for" in how.described(planned(how, small()))


def test_memory_decides_under_auto_where_it_is_what_is_short() -> None:
    crowded = Device("cuda", 5 * 2**29, (H100,))
    how = GpuSharing(Resources(gpu="auto"), Packing(crowded), {None: SMALL})
    assert shares(how, small()) == [how.packing.gpu_share(plan) for _, plan in planned(how, small())]


def test_on_a_gpu_of_unknown_speed_a_trial_gets_all_of_it_unless_sharing_is_asked_for() -> None:
    how = sharing(None, "auto", SMALL)
    assert shares(how, small()) == [1.0, 1.0]
    assert how.described(planned(how, small())) == (
        "one trial at a time on each GPU: how busy each keeps a GPU that can't be asked is not known "
        "(resources.gpu: share has memory alone decide)"
    )
    assert max(shares(sharing(None, "share", SMALL), small())) < 0.1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("auto", "one trial at a time on each GPU: each is predicted to keep it busy for 100 % of a step"),
        ("share", r"up to \d+ trials share a GPU: each is predicted to take \d+ to \d+ % of its memory"),
    ],
)
def test_a_dry_run_tells_how_trials_will_share_the_gpu_of_this_machine(
    asked: str, told: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "planned_device", lambda *_: Device("cuda", H100.free_bytes, (H100,)))
    code, output, _ = here("study", "--set", "trial.precision=bf16", "--set", f"resources.gpu={asked}", "--dry-run")
    assert code == 0
    assert re.search(told, output)


def test_a_sweep_tells_at_its_start_how_trials_share_a_gpu(
    here: Here, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise UserError("the trials would start here")

    monkeypatch.setattr(execute, "ray_session", lambda *_: nullcontext())
    monkeypatch.setattr(execute, "fit_resources", lambda resources, _: (resources.with_cpus(1), None))
    monkeypatch.setattr(execute, "find_device", lambda *_: Device("cuda", H100.free_bytes, (H100,)))
    monkeypatch.setattr(execute, "tune_trials", stop)
    spec = parts.write_spec(tmp_path, resources={"cpu": 1, "gpu": "auto"})
    code, output, errors = here(spec, "--output", tmp_path / "experiment")
    assert (code, "the trials would start here" in errors) == (2, True)
    assert "trials share a GPU: each is predicted to keep it busy for" in output


def test_a_fraction_is_given_as_it_is_asked_for() -> None:
    assert shares(sharing(H100, 0.25, SMALL), small()) == [0.25, 0.25]
