"""A dry run renders the first examples and the questions, and refuses in one line what a sweep would refuse later."""

import json
from pathlib import Path
from typing import Any

import pytest

from basis.errors import UserError
from sweep.preparation.first_examples import check_first_examples
from sweep.schema.sweep_spec import SweepSpec
from sweep.spec_file.load import load_spec
from tests.conftest import Here, Parts

KIND = [{"role": "system", "content": "Be kind."}]
TALK = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is 4."}]
WITHOUT_SYSTEM = (
    "{% for m in messages %}{{ raise_exception('no system turn') if m.role == 'system' else m.content }}{% endfor %}"
)


def talks(folder: Path, *conversations: list[dict[str, str]]) -> list[str]:
    path = folder / "talks.jsonl"
    path.write_text("\n".join(json.dumps({"messages": messages}) for messages in conversations))
    return [str(path)]


def spec_of(parts: Parts, folder: Path, data: dict[str, Any], **reward: Any) -> SweepSpec:
    return load_spec(str(parts.write_spec(folder, data=data, reward={**parts.spec()["reward"], **reward})))


def refusal(spec: SweepSpec) -> str:
    with pytest.raises(UserError) as caught:
        check_first_examples(spec, spec.model)
    return str(caught.value)


def test_a_dry_run_refuses_a_template_that_fails_on_an_early_example(here: Here, parts: Parts, tmp_path: Path) -> None:
    files = talks(tmp_path, TALK, [*KIND, *TALK])
    spec = parts.write_spec(tmp_path, data={"train": files, "test": files, "template": WITHOUT_SYSTEM})
    code, _, error = here(spec, "--dry-run")
    assert code == 2
    assert error == (f"error: data.train: {files[0]}: conversation 2: data.template fails on it: no system turn\n")
    excluding = {"train": files, "test": files, "exclude": files, "template": WITHOUT_SYSTEM}
    check_first_examples(first := spec_of(parts, tmp_path, excluding), first.model)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (
            {"new_tokens": 60},
            "reward.prompts: prompt 1 has 14 tokens, and with reward.new_tokens 60 exceeds the model's 64 positions",
        ),
        ({"prompts": "test"}, "reward.prompts: 'test' takes conversations or pairs, and the test set holds texts"),
    ],
)
def test_a_question_that_can_not_be_asked_is_refused(
    parts: Parts, tmp_path: Path, reward: dict[str, Any], said: str
) -> None:
    assert refusal(spec_of(parts, tmp_path, parts.spec()["data"], **reward)) == said


def test_a_right_answer_of_the_test_set_is_looked_at(parts: Parts, tmp_path: Path) -> None:
    files = talks(tmp_path, TALK, [TALK[0], {"role": "assistant", "content": "four"}])
    judged = {"prompts": "test", "model": None, "judge": {"match": "number"}}
    check_first_examples(good := spec_of(parts, tmp_path, {"train": files, "test": files}, **judged), good.model)
    files = talks(tmp_path, [TALK[0], {"role": "assistant", "content": "four"}])
    error = refusal(spec_of(parts, tmp_path, {"train": files, "test": files}, **judged))
    assert error.startswith("reward.prompts: 'test': ")


def test_texts_that_nothing_judges_need_no_tokenizer(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.preparation.first_examples.load_tokenizer", None)
    spec = spec_of(parts, tmp_path, parts.spec()["data"], model=None, prompts="study")
    check_first_examples(spec, spec.model)
