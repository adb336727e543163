"""A trial on its way through Ray Tune and back."""

import json

import pytest
from transformers import GPT2Config

from basis.errors import UserError
from sweep.memory.device import Device
from sweep.proposal import Proposal, TrialPlanner
from tests.sweep.worker.test_trial_run import config

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
