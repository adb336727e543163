"""Every method of PEFT's: its logits, gradients and steps are plain PEFT's, and so are its files."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers import GPT2Config, PreTrainedModel

from basis.errors import UserError
from basis.methods import METHODS, Method
from basis.peft_options import OPTIONS
from model import peft_options
from model.architectures import ArchitectureError
from model.batch import Batch
from model.gpt2_lora import load_trained, save_trained, trained_parameters
from model.peak_meter import PeakMeter
from model.peft_adapters import merge_peft, peft_files
from model.sft import SFTRun
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, plan_trial, predict
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt, as_configured, build_run
from sweep.trial.outline import refuse_adapters, trained_bytes
from tests.adapters import OF_PEFT, config
from tests.architectures import CONFIGS, VOCABULARY, tiny_model

CPU = torch.device("cpu")
CASES = [(method, "llama") for method in OF_PEFT] + [
    (method, "gpt2-relu") for method in OF_PEFT if METHODS[method].conv1d
]
STEEP = ("olora", "randlora", "delora")
"""Methods whose steps are so steep here that rounding shows."""


@pytest.fixture(scope="module")
def windows() -> Tensor:
    return torch.randint(0, VOCABULARY, (4, 25), generator=torch.Generator().manual_seed(1))


def a_run(trial: TrialConfig, model: PreTrainedModel) -> SFTRun:
    return build_run(model, trial, as_configured(trial), CPU)


def plain_peft(trial: TrialConfig, architecture: str) -> PreTrainedModel:
    """transformers' model with PEFT's adapters, as a user of PEFT makes it from the configuration that we make."""
    settings = adapt(tiny_model(architecture), trial).peft_config["default"]  # type: ignore[index]
    base = tiny_model(architecture)
    torch.manual_seed(trial.seed)
    theirs: PreTrainedModel = peft.get_peft_model(base, settings)
    for name, parameter in theirs.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and not (trial.method == "lora-fa" and "lora_A" in name))
    return theirs


def their_loss(model: Any, windows: Tensor) -> Tensor:
    logits = model(windows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@pytest.mark.parametrize(("method", "architecture"), [case for case in CASES if case[0] != "qlora"])
def test_five_steps_are_plain_pefts_and_so_are_the_files(
    method: Method, architecture: str, windows: Tensor, tmp_path: Path
) -> None:
    trial = config(method, optimizer="sgd", lr=1e-3)
    ours, theirs = adapt(tiny_model(architecture), trial), plain_peft(trial, architecture)
    mine = dict(trained_parameters(ours))
    others = {name.removeprefix("base_model.model."): value for name, value in trained_parameters(theirs)}
    assert mine.keys() == others.keys()
    drawn = torch.Generator().manual_seed(2)
    with torch.no_grad():  # many begin where an adapter does nothing, or has no gradient
        for name in mine:
            noise = 0.02 * torch.randn(mine[name].shape, generator=drawn)
            mine[name].add_(noise)
            others[name].add_(noise)
    run, theirs_steps = a_run(trial, ours), torch.optim.SGD(others.values(), lr=1e-3)
    loose = 30 if method in STEEP else 1
    for step in range(5):
        loss = their_loss(theirs, windows)
        loss.backward()
        theirs_steps.step()
        theirs_steps.zero_grad()
        assert float(run.train_step(Batch(windows))) == pytest.approx(float(loss), rel=loose * 1e-5), step
    for name in mine:
        torch.testing.assert_close(mine[name], others[name], rtol=loose * 1e-3, atol=loose * 1e-5)

    wanted = theirs.eval()(windows).logits
    values, tensors = peft_files(ours, adapt(tiny_model(architecture), trial))
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    loaded = peft.PeftModel.from_pretrained(tiny_model(architecture), tmp_path)
    torch.testing.assert_close(loaded(windows).logits, wanted, rtol=0, atol=loose * 1e-3)

    save_trained(ours, tmp_path / "trained.safetensors")
    again = adapt(tiny_model(architecture), trial)
    load_trained(again, tmp_path / "trained.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), again.state_dict().values(), strict=True))
    if METHODS[method].merges:
        torch.testing.assert_close(merge_peft(again)(windows).logits, wanted, rtol=0, atol=loose * 1e-3)
        assert again.state_dict().keys() == tiny_model(architecture).state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in OF_PEFT if METHODS[method].predicted])
def test_memory_is_predicted_within_five_percent(method: Method) -> None:
    trial = config(method, batch_size=8, micro_batch=4, block_size=64)
    shape = CONFIGS["llama"]
    predicted = predict(trial, shape, Device("cpu"), as_configured(trial))
    meter = PeakMeter(a_run(trial, adapt(tiny_model("llama"), trial)))
    for _ in range(3):
        meter.train_step(Batch(torch.zeros(8, 65, dtype=torch.long)))
    assert meter.parts is not None
    assert predicted.total == pytest.approx(meter.parts.total, rel=0.05)
    assert predicted.gradients == meter.parts.gradients


def test_memory_that_nobody_can_predict_is_said_to_be_unknown() -> None:
    plan = plan_trial(config("boft"), CONFIGS["llama"], Device("cpu"), 1)
    assert plan.predicted is None
    assert MemoryPlan.from_mapping(plan.to_mapping()) == plan


@pytest.mark.parametrize("method", OF_PEFT)
def test_what_a_trial_keeps_is_known_without_weights(method: Method) -> None:
    trained = trained_parameters(adapt(tiny_model("llama"), config(method)))
    assert trained_bytes(config(method), CONFIGS["llama"]) == sum(p.nbytes for _, p in trained)


def test_quantised_weights_train_adapters_and_are_restored_to_the_bit(windows: Tensor, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    for architecture in ("llama", "gpt2-relu"):
        model = adapt(tiny_model(architecture), config("qlora"))
        run = a_run(config("qlora"), model)
        losses = [float(run.train_step(Batch(windows))) for _ in range(6)]
        assert losses[-1] < losses[0]
        save_trained(model, tmp_path / "trained.safetensors")
        again = adapt(tiny_model(architecture), config("qlora"))
        load_trained(again, tmp_path / "trained.safetensors")
        first, second = (a_run(config("qlora"), one).evaluate(Batch(windows)) for one in (model, again))
        assert first == second
        assert not METHODS["qlora"].merges


def test_a_missing_bitsandbytes_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"needs bitsandbytes.*sft-sweep\[quantized\]"):
        refuse_adapters(CONFIGS["llama"], [config("qlora")], "tiny")


def test_other_weights_train_beside_adapters() -> None:
    model = adapt(tiny_model("gpt2-relu"), config("ia3", also_train=["biases", "layernorms"]))
    names = {name for name, _ in trained_parameters(model)}
    assert "transformer.h.0.attn.c_attn.base_layer.bias" in names
    assert "transformer.h.0.ln_1.weight" in names
    assert "transformer.h.0.attn.c_attn.ia3_l.default" in names
    assert not any(name.endswith("base_layer.weight") for name in names)


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"activation_checkpointing": True}])
@pytest.mark.parametrize("method", ["dora", "ia3", "vera", "oft"])
def test_precision_and_checkpointing_go_with_adapters(method: Method, changes: dict[str, Any], windows: Tensor) -> None:
    trials = config(method), config(method, **changes)
    plain, changed = (a_run(trial, adapt(tiny_model("llama"), trial)) for trial in trials)
    for _ in range(3):
        loss, other = plain.train_step(Batch(windows)), changed.train_step(Batch(windows))
    assert float(other) == pytest.approx(float(loss), rel=1e-6 if "precision" not in changes else 2e-2)


def test_adapters_that_a_model_cannot_have_are_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="method: 'c3a' on 'tiny': PEFT can't put 'c3a' into a LlamaForCausalLM"):
        refuse_adapters(CONFIGS["llama"], [config("c3a", peft={"block_size": 7})], "tiny")
    with pytest.raises(UserError, match=r"'hra' for the projections of a GPT2LMHeadModel; accepted there: .*dora"):
        refuse_adapters(CONFIGS["gpt2-relu"], [config("hra")], "tiny")
    with pytest.raises(ArchitectureError, match="no projection"):
        adapt(tiny_model("llama"), config("dora", targets=["q_projx_1"]))


def test_draws_follow_from_the_seed_alone() -> None:
    torch.manual_seed(7)
    first = adapt(tiny_model("llama"), config("dora")).state_dict()
    torch.manual_seed(8)
    before = torch.random.get_rng_state()
    second, other = (adapt(tiny_model("llama"), config("dora", seed=seed)).state_dict() for seed in (3, 4))
    name = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])
    torch.manual_seed(8)
    assert torch.equal(before, torch.random.get_rng_state())


def test_options_are_those_of_the_installed_peft() -> None:
    assert peft_options.options() == OPTIONS, "run python -m model.peft_options > basis/peft_options.py"


def test_a_tanh_gelu_goes_before_an_adapter(windows: Tensor) -> None:
    values = CONFIGS["gpt2-relu"].to_dict() | {"activation_function": "gelu_new"}
    CONFIGS["gpt2-gelu"] = GPT2Config(**values)
    try:
        trial = config("dora", optimizer="sgd")
        run, theirs = a_run(trial, adapt(tiny_model("gpt2-gelu"), trial)), plain_peft(trial, "gpt2-gelu")
        assert float(run.train_step(Batch(windows))) == pytest.approx(float(their_loss(theirs, windows)), rel=1e-5)
    finally:
        del CONFIGS["gpt2-gelu"]
