"""Of pretrained models too, a step takes the memory that was predicted from the configuration alone."""

import pytest
from transformers import AutoConfig

from basis.fields import Precision
from basis.methods import Method
from model.peak_meter import PeakMeter
from sweep.memory.device import Device
from sweep.memory.plan import predict
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt, as_configured, build_run
from tests.real.real_models import CPU, FOLDER, MARKS, NAMES, metered_step, read

pytestmark = MARKS


@pytest.mark.parametrize("name", NAMES or ["none"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_predicted_peak_is_measured_within_5_percent(name: str, method: Method, precision: Precision) -> None:
    values = {"method": method, "optimizer": "adamw", "lr": 1e-5, "steps": 3, "batch_size": 2, "block_size": 32}
    values |= {"precision": precision, "test_every": 1, "test_windows": 1} | ({"rank": 8} if method == "lora" else {})
    config = TrialConfig.model_validate(values)
    shape = AutoConfig.from_pretrained(FOLDER / name)
    predicted = predict(config, shape, Device("cpu"), as_configured(config))
    real = read(name)
    run = build_run(adapt(real.base, config), config, as_configured(config), CPU)
    meter = PeakMeter(run)
    for step in range(3):
        metered_step(meter, real.batch(step))
    assert meter.parts is not None
    assert predicted.total == pytest.approx(meter.parts.total, rel=0.05)
    assert (predicted.weights, predicted.gradients) == (meter.parts.weights, meter.parts.gradients)
    assert predicted.optimizer_state == meter.parts.optimizer_state
