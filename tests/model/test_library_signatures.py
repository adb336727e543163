"""What stands in the tree about optimizers of libraries is what the installed libraries say."""

import json

import pytest
import pytorch_optimizer
from transformers.training_args import OptimizerNames

from basis.optimizers import OPTIMIZERS, OWN, REFUSED, canonical, why_refused
from basis.packages import ROOT
from model.library_signatures import library


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, object]]:
    text = (ROOT / "basis" / "library_optimizers.json").read_text(encoding="utf-8")
    facts: dict[str, dict[str, object]] = json.loads(text)
    return facts


@pytest.mark.slow
def test_the_table_is_that_of_the_installed_libraries(kept: dict[str, dict[str, object]]) -> None:
    assert library() == kept, "write it anew: python -m model.library_signatures > basis/library_optimizers.json"


def test_every_optimizer_of_the_library_is_accepted_or_refused_with_a_reason() -> None:
    for name in pytorch_optimizer.get_supported_optimizers():
        assert (name in OPTIMIZERS) != (name in REFUSED)
    assert set(OWN) <= set(OPTIMIZERS)


@pytest.mark.parametrize("name", [one.value for one in OptimizerNames])
def test_every_name_of_hugging_face_is_understood_or_refused_with_what_to_write(name: str) -> None:
    known = canonical(name)
    assert known in OPTIMIZERS or why_refused(known).startswith("not accepted: ")
