"""sweep.worker.training: what a worker refuses on the device that it was given."""

from dataclasses import replace

import pytest
import torch

from sweep.inputs import SweepInputs
from sweep.memory.device import Device
from sweep.memory.packing import Packing
from sweep.worker.training import Training
from tests.gpus import T4
from tests.sweep.worker.test_trial_run import config


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_gpu_that_nobody_could_ask_beforehand_computes_in_no_precision_that_it_lacks(
    precision: str, inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: T4.capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: T4.name)
    on_gpu = replace(inputs, packing=Packing(Device("cuda")))
    with pytest.raises(
        RuntimeError, match=rf"precision {precision}: Tesla T4 has no .*; accepted there: fp32, fp16 or auto$"
    ):
        Training(config(precision=precision), on_gpu, None, None)
