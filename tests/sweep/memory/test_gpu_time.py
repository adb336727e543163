"""How busy a trial keeps a GPU: the work of a step against a count of it, and what follows on declared GPUs."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import GPT2Config, GPT2LMHeadModel

from model.batch import Batch
from model.cross_entropy import CHUNKING
from model.gpt2_lora import gpt2_config
from model.sft import Kernels, SFTSettings, training_kernels
from sweep.machine.gpu_facts import GpuFacts
from sweep.memory.gpu_time import LAUNCH_SECONDS, busy_share, step_work
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt, as_configured, build_run
from tests.gpus import A100, H100, T4

MEDIUM = gpt2_config("gpt2-medium", {})
SMALL = gpt2_config("gpt2", {"n_layer": 4, "n_embd": 256, "n_head": 4})


def trial(**changes: Any) -> TrialConfig:
    method = {"method": "lora", "rank": 8, "precision": "bf16"} if "method" not in changes else {}
    values = {"optimizer": "sgd", "lr": 1e-3, "steps": 10, "test_every": 10, "test_windows": 4}
    return TrialConfig.model_validate({**values, "batch_size": 8, "block_size": 1024, **method, **changes})


# ------------------------------------------------------------------------------------------------- the work of a step


class Counted(TorchDispatchMode):
    """Counts operators that compute, and the bytes of what they take and make."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.moved_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        is_view = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        if not is_view and not any(idle in str(func) for idle in ("empty", "prim.device")):
            self.kernels += 1
            tensors = (leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor))
            self.moved_bytes += sum(tensor.numel() * tensor.itemsize for tensor in tensors)
        return made


def counted_step(config: TrialConfig, shape: GPT2Config) -> Counted:
    def kernels(settings: SFTSettings, device: torch.device) -> Kernels:
        return replace(training_kernels(settings, device), chunking=CHUNKING["cuda"])

    with FakeTensorMode():
        model = adapt(GPT2LMHeadModel(shape), config)
        run = build_run(model, config, as_configured(config), torch.device("cpu"), kernels)
        windows = torch.zeros(config.batch_size, config.block_size + 1, dtype=torch.long)
        with Counted() as counted:
            run.train_step(Batch(windows))
    return counted


@pytest.mark.parametrize("shape", [SMALL, gpt2_config("gpt2", {"n_layer": 6})], ids=["4 x 256", "6 x 768"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "fp32"},
        {"method": "full", "precision": "fp32"},
        {"method": "full", "precision": "bf16"},
        {"activation_checkpointing": True},
        {"micro_batch": 2},
    ],
    ids=str,
)
def test_kernels_and_bytes_of_a_step_are_about_those_of_the_real_step_on_tensors_without_storage(
    changes: dict[str, Any], shape: GPT2Config
) -> None:
    config = trial(**changes)
    counted, work = counted_step(config, shape), step_work(config, shape, as_configured(config))
    assert work.kernels == pytest.approx(counted.kernels, rel=0.25)
    assert work.moved_bytes == pytest.approx(counted.moved_bytes, rel=0.25)


def test_a_step_of_gpt2_medium_takes_the_cpu_tens_of_milliseconds_however_fast_the_gpu() -> None:
    for changes in ({}, {"method": "full", "precision": "bf16"}):
        config = trial(**changes)
        assert 0.02 < step_work(config, MEDIUM, as_configured(config)).kernels * LAUNCH_SECONDS < 0.04


def test_micro_batches_add_launches_checkpointing_work_and_compiling_takes_launches_away() -> None:
    once, divided, again, fused = (
        step_work(config, MEDIUM, as_configured(config))
        for config in (trial(), trial(micro_batch=2), trial(activation_checkpointing=True), trial(compile=True))
    )
    assert divided.flops == once.flops
    assert divided.kernels == pytest.approx(4 * once.kernels, rel=0.05)
    assert again.flops > once.flops
    assert again.moved_bytes > once.moved_bytes
    assert fused.kernels < once.kernels


# ------------------------------------------------------------------------------------------------------- how busy it is


def busy(config: TrialConfig, shape: GPT2Config, *gpus: GpuFacts) -> float | None:
    return busy_share(config, shape, as_configured(config), gpus)


@pytest.mark.parametrize("gpu", [H100, A100], ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("changes", [{}, {"method": "full", "precision": "bf16"}, {"precision": "fp32"}], ids=str)
def test_a_trial_of_the_study_keeps_a_gpu_busy_all_the_time(gpu: GpuFacts, changes: dict[str, Any]) -> None:
    assert busy(trial(**changes), MEDIUM, gpu) == 1


def test_a_small_model_leaves_a_fast_gpu_idle_most_of_the_time_and_a_slow_one_never() -> None:
    small = trial(batch_size=4, block_size=256, precision="fp32")
    fast, slow = busy(small.model_copy(update={"precision": "bf16"}), SMALL, H100), busy(small, SMALL, T4)
    assert fast is not None
    assert 0.1 < fast < 0.5
    assert slow == 1


def test_where_trials_may_get_several_kinds_of_gpus_the_slowest_counts() -> None:
    small = trial(batch_size=4, block_size=256)
    assert busy(small, SMALL, H100, A100) == busy(small, SMALL, A100, H100) == busy(small, SMALL, A100)


@pytest.mark.parametrize(
    "gpus",
    [
        (),
        (T4,),  # which has no bf16
        (H100, replace(H100, capability=(99, 0))),
        (replace(H100, clock_hz=0.0),),
        (replace(H100, memory_bytes_per_second=0.0),),
    ],
    ids=["none", "no bf16", "unknown kind", "no clock", "no memory clock"],
)
def test_nobody_knows_how_busy_a_gpu_is_of_which_something_is_unknown(gpus: tuple[GpuFacts, ...]) -> None:
    assert busy(trial(), SMALL, *gpus) is None
