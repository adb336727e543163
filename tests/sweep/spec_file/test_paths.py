"""Where the names in a spec lead: beside the file that has them, in the working directory, or to the hub."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import UserError
from sweep.schema.sweep_spec import SweepSpec
from sweep.spec_file.load import load_spec, parse_spec

SIZES = {"steps": 5, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}
SPACE = [{"method": "full", "optimizer": "sgd", "lr": 1.0, **SIZES}]


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of specs that is not the working directory; both lie beside each other."""
    for name in ("specs", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "specs"


def write(folder: Path, name: str = "mine.yaml", **values: Any) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump({"space": SPACE, "reward": {"model": None}, **values}), encoding="utf-8")
    return str(path)


def fill(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"chosen": "x"}\n', encoding="utf-8")


def test_a_path_leads_from_the_file_that_names_it_or_else_from_the_working_directory(specs: Path) -> None:
    work = Path.cwd()
    fill(specs / "both.jsonl", work / "both.jsonl", work / "here.jsonl", specs / "parts/1.jsonl", specs / "p.csv")
    (specs / "model").mkdir()
    values = {
        "data": {"train": ["both.jsonl", "here.jsonl", "parts/*.jsonl"]},
        "model": {"name": "./model", "tokenizer": "../specs/model"},
        "reward": {"model": None, "prompts": "p.csv"},
    }
    spec = load_spec(write(specs, **values))
    assert spec.data.train == (str(specs / "both.jsonl"), str(work / "here.jsonl"), str(specs / "parts/*.jsonl"))
    assert (spec.model.name, spec.model.tokenizer) == (str(specs / "model"), str(specs / "model"))
    assert spec.reward.prompts == str(specs / "p.csv")
    by_flag = load_spec(write(specs, **values), ["data.train=both.jsonl"])
    assert by_flag.data.train == (str(work / "both.jsonl"),)


def test_an_inherited_path_leads_from_the_file_that_it_stands_in(specs: Path) -> None:
    fill(specs / "base/train.jsonl", specs / "base/other.jsonl", specs / "train.jsonl")
    base = {"data": {"train": "train.jsonl"}, "variants": {"other": {"data": {"train": "other.jsonl"}}}}
    write(specs / "base", "base.yaml", **base)
    heir = write(specs, extends="base/base.yaml")
    assert load_spec(heir).data.train == (str(specs / "base/train.jsonl"),)
    assert load_spec(heir, ["variant=other"]).data.train == (str(specs / "base/other.jsonl"),)
    Path("mine").mkdir()
    assert load_spec(write(Path("mine"), extends=os.path.relpath(heir))).data.train[0].endswith("base/train.jsonl")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"train": "no.jsonl"}}, "data.train[0]: no.jsonl: no such file (looked from {specs} and {work})"),
        (
            {"data": {"train": "no*.jsonl"}},
            "data.train[0]: no*.jsonl: matches no file (looked from {specs} and {work})",
        ),
        ({"model": {"name": "./no"}}, "model.name: './no': no such folder (looked from {specs} and {work}); accepted"),
        (
            {"model": {"name": "a/b/c"}},
            "model.name: 'a/b/c': no such folder (looked from {specs} and {work}); accepted",
        ),
        ({"reward": {"prompts": "no.csv"}}, "reward.prompts: 'no.csv': no such file (looked from {specs} and {work});"),
        ({"data": {"train": "/no.jsonl"}}, "data.train[0]: /no.jsonl: no such file"),
        ({"extends": "no.yaml"}, "'no.yaml' is neither a preset nor a YAML file (looked from {specs} and {work});"),
        ({"data": {"train": "~nosuchuser/t.jsonl"}}, "~nosuchuser/t.jsonl: there is no home directory '~nosuchuser';"),
        ({"model": {"name": "~nosuchuser/m"}}, "~nosuchuser/m: there is no home directory '~nosuchuser'; write the"),
        ({"model": {"tokenizer": "~nosuchuser"}}, "~nosuchuser: there is no home directory '~nosuchuser'; write the"),
        ({"reward": {"prompts": "~nosuchuser/p"}}, "~nosuchuser/p: there is no home directory '~nosuchuser'; write"),
        ({"extends": "~nosuchuser/s.yaml"}, "~nosuchuser/s.yaml: there is no home directory '~nosuchuser'; write"),
    ],
)
def test_nowhere_is_said_with_the_places_looked_at(specs: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_spec(write(specs, **values))
    assert message.format(specs=specs, work=Path.cwd()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_the_hub_is_no_folder_unless_written_as_a_path(specs: Path) -> None:
    for folder in (specs / "gpt2", specs / "judge", Path("gpt2")):
        folder.mkdir()
    named = load_spec(write(specs, model={"name": "gpt2", "tokenizer": "gpt2"}, reward={"model": "judge"}))
    assert (named.model.name, named.model.tokenizer, named.reward.model) == ("gpt2", "gpt2", "judge")
    path = load_spec(write(specs, model={"name": "./gpt2"}, reward={"model": "./judge"}))
    assert (path.model.name, path.reward.model) == (str(specs / "gpt2"), str(specs / "judge"))
    assert load_spec(write(specs), ["model.name=./gpt2"]).model.name == str(Path("gpt2").resolve())
    random = load_spec(write(specs, model={"name": "gpt2", "init": "random"}))
    assert random.model.name == "gpt2"


def test_where_a_folder_and_the_hub_may_be_meant_one_says_which(specs: Path) -> None:
    (specs / "models/mine").mkdir(parents=True)
    Path("data/set").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"'models/mine': could be the folder .*/specs/models/mine or a model on the hub"
    ):
        load_spec(write(specs, model={"name": "models/mine"}))
    assert load_spec(write(specs, model={"name": "./models/mine"})).model.name == str(specs / "models/mine")
    with pytest.raises(UserError, match=r"data/set: no data file is in this folder; accepted: \.jsonl, "):
        load_spec(write(specs, data={"train": "data/set"}))
    Path("data/set/a.jsonl").touch()
    folder = str(Path("data/set").resolve())
    assert load_spec(write(specs, data={"train": "data/set"})).data.train == (folder,), "as datasets.load_dataset does"
    assert load_spec(write(specs, data={"train": "data/set:train"})).data.train == ("data/set:train",)


def test_a_spec_that_was_kept_means_the_same_wherever_it_is_read_again(specs: Path) -> None:
    fill(specs / "t.jsonl")
    kept = load_spec(write(specs, data={"train": "t.jsonl"}, model={"name": "owner/name"})).model_dump(mode="json")
    Path("owner/name").mkdir(parents=True)
    again = parse_spec(kept)
    assert (again.data.train, again.model.name) == ((str(specs / "t.jsonl"),), "owner/name")


HH = (("Anthropic/hh-rlhf:train",), ("Anthropic/hh-rlhf:test",), ("Dahoas/rm-static",))


def data_of(spec: SweepSpec) -> tuple[tuple[str, ...], ...]:
    return spec.data.train, spec.data.test, spec.data.exclude


def test_who_gives_train_says_what_it_is_tested_on_or_has_it_held_out(specs: Path) -> None:
    fill(specs / "a.jsonl", specs / "b.jsonl", Path("a.jsonl"))
    a, b = str(specs / "a.jsonl"), str(specs / "b.jsonl")
    here = str(Path("a.jsonl").resolve())
    assert data_of(load_spec(write(specs, data={"train": "a.jsonl"}))) == ((a,), (), ())
    assert data_of(load_spec(write(specs, data={"train": "a.jsonl", "test": None, "exclude": None}))) == ((a,), (), ())
    assert data_of(load_spec(write(specs, extends="study", data={"train": "a.jsonl"}))) == ((a,), (), ())
    with_test = {"train": "a.jsonl", "test": "b.jsonl"}
    assert data_of(load_spec(write(specs, extends="study", data=with_test))) == ((a,), (b,), ())
    for preset in ("study", "demo", "fair"):
        assert data_of(load_spec(preset, ["data.train=a.jsonl"])) == ((here,), (), ())
    both = ["data.exclude=Dahoas/rm-static", "data.train=a.jsonl"]
    assert data_of(load_spec("study", both)) == ((here,), (), HH[2])
    assert data_of(load_spec("fair", ["variant=demo", "data.train=[a.jsonl]"])) == ((here,), (), ())
    variants = {"small": {"data": {"train": "a.jsonl"}}}
    assert data_of(load_spec(write(specs, extends="study", variants=variants), ["variant=small"])) == ((a,), (), ())
    assert load_spec("study", ["data.train=a.jsonl", "data.test_fraction=0.2"]).data.test_fraction == 0.2


def test_general_text_is_looked_up_beside_its_file_and_goes_with_the_train_data_below(specs: Path) -> None:
    fill(specs / "a.jsonl", specs / "g.txt")
    write(specs, "below.yaml", data={"train": "a.jsonl", "general": "g.txt"})
    assert load_spec(write(specs, extends="below.yaml")).data.general == (str(specs / "g.txt"),)
    assert load_spec(write(specs, extends="below.yaml", data={"train": "a.jsonl"})).data.general == ()
    assert load_spec(write(specs, data={"general": ["g.txt"]})).data.train == HH[0]


def test_the_data_of_the_study_stay_whole_where_no_train_is_given(specs: Path) -> None:
    fill(specs / "b.jsonl")
    assert data_of(load_spec(write(specs))) == HH
    assert data_of(load_spec(write(specs, data={"validation_fraction": 0.1}))) == HH
    assert data_of(load_spec(write(specs, extends="study", data={"test_fraction": 0.1}))) == HH
    own_test = load_spec(write(specs, extends="study", data={"test": "b.jsonl"}))
    assert data_of(own_test) == (HH[0], (str(specs / "b.jsonl"),), HH[2])
    with pytest.raises(
        UserError, match=r"^data\.train: missing; data\.test is given, and what trains beside it is not"
    ):
        load_spec(write(specs, data={"test": "b.jsonl"}))
