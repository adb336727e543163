"""A trial on its way through Ray Tune and back."""

import json

import pytest
from transformers import GPT2Config

from basis.errors import UserError
from sweep.memory.device import Device, gpu_device
from sweep.memory.packing import PROCESS_BYTES, Packing, budget_on
from sweep.proposal import Proposal, TrialPlanner
from sweep.schema.resources import Resources
from tests.gpus import A100, GIB, T4
from tests.sweep.worker.test_trial_run import config

WHOLE = Resources(gpu=1)
MEDIUM = GPT2Config(n_embd=1024, n_layer=24, n_head=16)
SHAPE = GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=2, n_head=2)


def test_a_proposal_comes_back_from_ray_as_it_was_sent() -> None:
    planned = TrialPlanner({None: SHAPE}, Device("cpu"), None).propose(config())
    chosen = Proposal(planned.config, planned.plan, {"branch": 0, "1.rank": 2})
    for proposal in (Proposal(config()), planned, chosen):
        assert Proposal.from_ray(json.loads(json.dumps(proposal.to_ray()))) == proposal


def test_ray_keeps_the_fields_of_the_config_and_one_key_for_the_plan_and_one_for_the_suggestion() -> None:
    planned = TrialPlanner({None: SHAPE}, Device("cpu"), None).propose(config())
    fields = config().model_dump(mode="json")
    assert Proposal(config()).to_ray() == fields
    kept = Proposal(planned.config, planned.plan, {"branch": 0}).to_ray()
    assert {name: kept.pop(name) for name in fields} == fields
    assert kept.keys() == {"plan", "suggested"}


def test_keys_that_a_search_keeps_for_itself_are_no_part_of_a_proposal() -> None:
    assert Proposal.from_ray({**config().model_dump(mode="json"), "of_the_search": 1}) == Proposal(config())


def test_a_trial_that_does_not_fit_into_the_budget_is_not_proposed() -> None:
    with pytest.raises(UserError, match=r"memory\.budget: .* is predicted to take"):
        TrialPlanner({None: SHAPE}, Device("cpu"), 2**10).propose(config())


@pytest.mark.slow
def test_each_kind_of_gpu_has_a_plan_of_its_own_where_a_trial_gets_all_of_one() -> None:
    device = gpu_device((A100, T4), None)
    kinds = {name: (kind, budget_on(kind, WHOLE, None)) for name, kind in device.kinds.items()}
    assert {name: kind.capacity_bytes for name, (kind, _) in kinds.items()} == {
        A100.name: A100.free_bytes,
        T4.name: T4.free_bytes,
    }
    large = config(method="full", batch_size=64, micro_batch=None, block_size=1024)
    planner = TrialPlanner({None: MEDIUM}, device, budget_on(device, WHOLE, None), kinds=kinds)
    proposal = Proposal.from_ray(json.loads(json.dumps(planner.propose_to_ray(large))))
    on_small, on_large, elsewhere = (
        proposal.plan_on(name) for name in (T4.name, A100.name, "of a node that came late")
    )
    assert on_small is not None
    assert on_large is not None
    assert on_small.execution.micro_batch < on_large.execution.micro_batch
    assert elsewhere == proposal.plan == on_small

    packing = Packing(device)
    assert packing.on(A100.name).cap_bytes(1.0) == A100.free_bytes - PROCESS_BYTES["cuda"]
    assert packing.on(None).cap_bytes(1.0) == T4.free_bytes - PROCESS_BYTES["cuda"]
    declared = Packing(gpu_device((A100, T4), 8 * GIB))
    assert declared.on(A100.name).device.capacity_bytes == 8 * GIB
    assert gpu_device((T4, T4), None).kinds == {}
