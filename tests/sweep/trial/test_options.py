import json

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.comparison.choices import branch_of, searched_fields
from analysis.results.arm_labels import label_arms
from basis.fields import MAPPING_FIELDS
from sweep.mistakes.gathered import Mistakes
from sweep.space.branches import read_branches
from sweep.trial.options import Options, OptionsField


class Holder(BaseModel):
    model_config = ConfigDict(frozen=True)
    options: OptionsField | None = None


def test_options_are_a_value_whatever_the_order_of_their_names() -> None:
    one = Holder.model_validate({"options": {"b": [1, 2.5], "a": {"x": None}}})
    other = Holder.model_validate({"options": {"a": {"x": None}, "b": (1, 2.5)}})
    assert one == other
    assert hash(one) == hash(other)
    assert one.model_dump_json() == other.model_dump_json() == '{"options":{"a":{"x":null},"b":[1,2.5]}}'
    assert Holder.model_validate(json.loads(one.model_dump_json())) == one
    assert Holder.model_validate(one.model_dump()) == one
    assert dict(**(one.options or {})) == {"a": Options({"x": None}), "b": (1, 2.5)}


@pytest.mark.parametrize("value", [3, "eps", [1], {1: 2}, {"eps": float("nan")}, {"eps": object()}])
def test_what_is_no_options_is_refused_with_what_is(value: object) -> None:
    with pytest.raises(ValidationError, match="accepted: "):
        Holder.model_validate({"options": value})


@pytest.mark.parametrize("field", MAPPING_FIELDS)
def test_a_mapping_is_one_choice_of_such_a_field_and_a_list_holds_several(field: str) -> None:
    mistakes = Mistakes()
    space = [{field: {"low": 1, "high": 2}}, {field: [{"k": 1}, {}]}]
    branches = read_branches(space, mistakes)
    assert not list(mistakes)
    assert branches == {0: {field: ({"low": 1, "high": 2},)}, 1: {field: ({"k": 1}, {})}}


def test_options_that_a_search_does_not_draw_are_no_searched_field() -> None:
    spec = {"search": "tuned", "space": [{"lr": {"low": 1e-5, "high": 1e-3}, "optimizer_options": {"k": 1}}]}
    assert searched_fields(spec) == ["lr"]
    assert branch_of(spec, {"lr": 1e-4, "optimizer_options": {"k": 1}}) == 0
    assert branch_of(spec, {"lr": 1e-4, "optimizer_options": {"k": 2}}) == -1


def test_arms_that_differ_in_options_say_so_in_their_labels() -> None:
    shared = {"method": "full", "optimizer": "lion"}
    labels = label_arms([{**shared, "optimizer_options": value} for value in ({}, {"k": 1, "rho": 0.25})])
    assert list(labels.values()) == ["full lion optimizer_options=defaults", "full lion k=1, rho=0.25"]
