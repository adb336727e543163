"""What is named on the hub: brought as a folder of one commit, read as what it is, and refused in one line."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import torch
from transformers import AutoTokenizer

from basis.errors import UserError
from model.gpt2_lora import load_base
from sweep.data.dialogues import DataSources, load_sft
from sweep.data.digests import source_digests
from sweep.hub.fetch import Snapshot, fetch_config, fetch_dataset, fetch_model, fetch_tokenizer, resolve
from sweep.hub.pin import pin
from sweep.inputs import SweepInputs, on_this_node
from sweep.machine.quiet import quiet_libraries
from sweep.schema.hub_names import HubName, dataset_name, model_name
from sweep.spec_file.load import parse_spec
from tests.conftest import dialogues
from tests.hub.server import TOKEN, Faults, Repository, StandInHub
from tests.hub.study_repositories import GPT2_MEDIUM, HH_RLHF, REWARD, RM_STATIC, study_repositories

DIALOGUES = dialogues(120, 0)


@pytest.fixture(scope="module")
def study() -> list[Repository]:
    return study_repositories(DIALOGUES)


@pytest.fixture
def hub(study: list[Repository], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """The study's repositories on a hub of their own, and an empty cache."""
    quiet_libraries()
    fresh = [Repository(r.name, r.kind, r.files) for r in study]
    with StandInHub(fresh) as stand_in:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", stand_in.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield stand_in


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("text", "model", "dataset"),
    [
        ("gpt2-medium", HubName("gpt2-medium"), None),
        ("gpt2@v1.0", HubName("gpt2", "v1.0"), None),
        ("a/b", HubName("a/b"), HubName("a/b")),
        ("a/b@refs/pr/1", HubName("a/b", "refs/pr/1"), HubName("a/b", "refs/pr/1")),
        ("a/b:train[:10%]", None, HubName("a/b", None, "train[:10%]")),
        ("a/b@main:test", None, HubName("a/b", "main", "test")),
        ("a/b/c", None, HubName("a/b", None, None, "c")),
        ("a/b/c@main:train", None, HubName("a/b", "main", "train", "c")),
        ("a/b/c/d", None, None),
        ("./gpt2", None, None),
        ("gpt2@", None, None),
    ],
)
def test_names_are_read_and_written_back(text: str, model: HubName | None, dataset: HubName | None) -> None:
    assert model_name(text) == model
    assert dataset_name(text) == dataset
    assert {str(name) for name in (model, dataset) if name} <= {text}


def test_a_model_comes_with_its_tokenizer_and_nothing_that_nobody_reads(hub: StandInHub) -> None:
    found = fetch_model(HubName(GPT2_MEDIUM), "model.name")
    files = {str(path.relative_to(found.folder)) for path in found.folder.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
    assert found.pinned == f"gpt2-medium@{hub.repository(GPT2_MEDIUM).main}"
    assert load_base(found.folder).config.n_layer == 2
    assert AutoTokenizer.from_pretrained(found.folder).decode([0])
    assert fetch_model(HubName(REWARD), "reward.model").folder.joinpath("pytorch_model.bin").exists()


def test_shards_come_whole(hub: StandInHub, study: list[Repository]) -> None:
    model = load_base(fetch_model(HubName(GPT2_MEDIUM), "model.name").folder)
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE) / "sharded"
    model.save_pretrained(folder, max_shard_size="40KB")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len([name for name in files if name.endswith(".safetensors")]) > 2
    hub.repositories["model", "someone/sharded"] = Repository("someone/sharded", "model", files)
    again = load_base(fetch_model(HubName("someone/sharded"), "model.name").folder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_shards_that_are_not_there_and_a_damaged_list_of_them_are_one_line(hub: StandInHub) -> None:
    config = hub.repository(GPT2_MEDIUM).files["config.json"]
    index = json.dumps(
        {"metadata": {}, "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    ).encode()
    for name, content, expected in [
        ("a/half", index, "1 of 2 shards that model.safetensors.index.json names are missing (first: model-2-of-2"),
        ("a/torn", b'{"weight', "model.safetensors.index.json is damaged; it names no shards"),
    ]:
        files = {"config.json": config, "model-1-of-2.safetensors": b"x", "model.safetensors.index.json": content}
        hub.repositories["model", name] = Repository(name, "model", files)
        with pytest.raises(UserError, match=re.escape(f"model.name: {name!r}: {expected}")):
            fetch_model(HubName(name), "model.name")


def test_a_node_without_the_drivers_cache_brings_the_same_commits(
    hub: StandInHub, inputs: SweepInputs, tmp_path: Path
) -> None:
    snapshot = fetch_model(HubName(GPT2_MEDIUM), "model.name")
    here = str(snapshot.folder)
    of_the_hub = replace(inputs, base_model=here, tokenizer=here, snapshots={here: snapshot})
    assert on_this_node(of_the_hub) == of_the_hub
    (snapshot.folder / "model.safetensors").unlink()  # as where a download broke off
    hub.repository(GPT2_MEDIUM).commit({"README.md": b"Another main"})
    assert on_this_node(of_the_hub) == of_the_hub
    assert load_base(here).config.n_layer == 2
    elsewhere = "/on/the/driver/alone"
    there = Snapshot(snapshot.name, snapshot.commit, Path(elsewhere))
    moved = replace(inputs, base_model=elsewhere, tokenizer=elsewhere, snapshots={elsewhere: there})
    assert (on_this_node(moved).base_model, on_this_node(moved).tokenizer) == (here, here)


def test_data_are_read_by_split_and_subtracted_as_the_study_did(hub: StandInHub) -> None:
    whole = load_sft(DataSources((HH_RLHF,), (HH_RLHF,), (RM_STATIC,)))
    assert (len(whole.train), len(whole.test), whole.excluded) == (72, 36, 12)
    named = load_sft(DataSources((f"{HH_RLHF}:test",), (f"{HH_RLHF}:train",), (f"{RM_STATIC}:test",)))
    assert (len(named.train), len(named.test), named.excluded) == (38, 80, 2)
    with pytest.raises(UserError, match=r"split train, row 1: no field 'text'; .*'chosen', 'rejected'"):
        load_sft(DataSources((HH_RLHF,), field="text"))
    with pytest.raises(
        UserError, match=r"data.train: 'Anthropic/hh-rlhf:dev' can't be read as a data set: .*dev"
    ) as raised:
        load_sft(DataSources((f"{HH_RLHF}:dev",)))
    assert "\n" not in str(raised.value)


def test_a_revision_is_a_branch_a_tag_or_a_commit_and_the_commit_is_the_identity(hub: StandInHub) -> None:
    repository = hub.repository(HH_RLHF, "dataset")
    first = repository.main
    repository.revisions["v1"] = first
    newer = {**repository.files, "README.md": b"---\nlicense: mit\n---\nAnother card, the same dialogues\n"}
    second = repository.commit(newer)

    def digests(source: str) -> list[str]:
        return [digest.digest for digest in source_digests(DataSources((source,)))]

    assert digests(HH_RLHF) == [second]
    assert digests(f"{HH_RLHF}@v1") == digests(f"{HH_RLHF}@{first}:train") == [first]
    with pytest.raises(UserError, match=r"data.train: 'Anthropic/hh-rlhf@v2:train' has no revision 'v2'"):
        digests(f"{HH_RLHF}@v2")

    model = hub.repository(GPT2_MEDIUM)
    model.revisions["old"] = model.main
    model.commit({**model.files, "config.json": b"{}"})
    assert load_base(fetch_model(HubName(GPT2_MEDIUM, "old"), "model.name").folder)
    assert resolve(HubName(GPT2_MEDIUM), "model", "model.name") == model.main != model.revisions["old"]


def test_a_spec_is_pinned_to_commits_and_asks_for_nothing_else_afterwards(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse_spec({
        "name": "study", "model": {"name": GPT2_MEDIUM, "revision": "main"},
        "data": {"train": HH_RLHF, "test": f"{HH_RLHF}:test", "exclude": RM_STATIC},
        "reward": {"model": REWARD}, "space": {"method": "full", "optimizer": "adamw", "lr": 1e-4},
    })  # fmt: skip
    said: list[str] = []
    pinned = pin(spec, said.append)
    assert said == []
    commit = hub.repository(GPT2_MEDIUM).main
    assert pinned.model.name == f"{GPT2_MEDIUM}@{commit}"
    assert pinned.data.test == (f"{HH_RLHF}@{hub.repository(HH_RLHF, 'dataset').main}:test",)
    assert pinned.reward.model == f"{REWARD}@{hub.repository(REWARD).main}"
    assert parse_spec(pinned.model_dump(mode="json")) == pinned
    random = pin(spec.model_copy(update={"model": spec.model.model_copy(update={"init": "random"})}), said.append)
    assert random.model.tokenizer == f"{GPT2_MEDIUM}@{commit}"

    for repository in hub.repositories.values():
        repository.commit({"README.md": b"everything is gone from main"})
    hub.requests.clear()
    assert pin(pinned, said.append) == pinned
    assert hub.requests == []
    fetch_model(HubName(GPT2_MEDIUM, commit), "model.name")
    go_offline(monkeypatch)
    assert load_base(fetch_model(HubName(GPT2_MEDIUM, commit), "model.name").folder)


def test_what_is_in_the_cache_is_found_offline_and_where_the_hub_does_not_answer(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = fetch_model(HubName(GPT2_MEDIUM), "model.name"), fetch_dataset(HubName(HH_RLHF), "data.train")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    unreachable = fetch_model(HubName(GPT2_MEDIUM), "model.name"), fetch_dataset(HubName(HH_RLHF), "data.train")
    said: list[str] = []
    assert resolve(HubName(GPT2_MEDIUM), "model", "model.name", said.append) == online[0].commit
    told = f"taken from the cache as it is there, at commit {online[0].commit[:7]}"
    assert said == [f"gpt2-medium: the hub can't be asked; {told}"]
    go_offline(monkeypatch)
    hub.requests.clear()
    offline = fetch_model(HubName(GPT2_MEDIUM), "model.name"), fetch_dataset(HubName(HH_RLHF), "data.train")
    assert online == unreachable == offline
    assert hub.requests == []


def test_a_cache_that_others_have_filled_serves_offline_too(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `from_pretrained` or a copy by hand leaves it: a commit's files and the branch, without the hub's list."""
    found = fetch_model(HubName(GPT2_MEDIUM), "model.name")
    shutil.rmtree(found.folder.parents[1] / "trees")
    go_offline(monkeypatch)
    assert fetch_model(HubName(GPT2_MEDIUM), "model.name") == found
    (found.folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.name: 'gpt2-medium' is not (whole|\(whole\)) in the cache"):
        fetch_model(HubName(GPT2_MEDIUM), "model.name")


def test_a_data_set_of_which_a_file_is_missing_is_not_read_as_if_it_were_whole(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fetch_dataset(HubName(HH_RLHF), "data.train")
    (found.folder / "helpful-base" / "train.jsonl.gz").unlink()
    go_offline(monkeypatch)
    with pytest.raises(UserError, match=r"data.train: 'Anthropic/hh-rlhf' is not \(whole\) in the cache"):
        fetch_dataset(HubName(HH_RLHF), "data.train")


def test_failures_are_one_line_that_says_what_to_do(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = hub.repository(GPT2_MEDIUM)
    gated.gated = True

    def message(name: str) -> str:
        with pytest.raises(UserError) as raised:
            fetch_model(HubName(name), "model.name")
        assert "\n" not in str(raised.value)
        return str(raised.value)

    page = f"{hub.endpoint}/{GPT2_MEDIUM}"
    assert message(GPT2_MEDIUM) == (
        f"model.name: 'gpt2-medium' is gated: ask for access at {page}, then log in with `hf auth login` "
        "or set HF_TOKEN"
    )
    assert message("gpt2-tiny").startswith(
        f"model.name: 'gpt2-tiny' is no model on the hub ({hub.endpoint}) that you may see; check the name"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_madeUp")
    assert "does not know your token; correct or unset HF_TOKEN" in message(GPT2_MEDIUM)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch_model(HubName(GPT2_MEDIUM), "model.name").folder.is_dir()
    hub.repositories["model", "a/flax"] = Repository(
        "a/flax", "model", {"config.json": b"{}", "flax_model.msgpack": b""}
    )
    assert "'a/flax' has no weights; accepted: model.safetensors, " in message("a/flax")
    hub.repositories["model", "a/empty"] = Repository("a/empty", "model", {"README.md": b"Soon."})
    with pytest.raises(UserError, match=r"'a/empty' has no config\.json, so it is none in"):
        fetch_config(HubName("a/empty"), "model.name")
    go_offline(monkeypatch)
    assert message("gpt2-large").startswith("model.name: 'gpt2-large' is not (whole) in the cache ")
    assert message("gpt2-large").endswith(" and HF_HUB_OFFLINE forbids downloading it")


def test_a_download_that_breaks_off_once_goes_on_and_one_that_never_comes_through_is_one_line(
    hub: StandInHub, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.faults.append(Faults("model.safetensors", break_after_bytes=5000, times=1))
    assert load_base(fetch_model(HubName(GPT2_MEDIUM), "model.name").folder)
    hub.faults.append(Faults("pytorch_model.bin", status=403))
    with pytest.raises(UserError, match=r"'.*-v2' may not be read by you: .* 403 Forbidden; ask"):
        fetch_model(HubName(REWARD), "reward.model")
    hub.faults.clear()
    hub.faults.append(Faults("pytorch_model.bin", status=410))
    with pytest.raises(UserError, match=r"reward.model: '.*-v2' could not be downloaded \(.*410.*\); what has come is"):
        fetch_model(HubName(REWARD), "reward.model")
    hub.faults.clear()
    assert fetch_model(HubName(REWARD), "reward.model").folder.is_dir()
    assert capfd.readouterr() == ("", "")


def test_a_hub_that_takes_no_more_requests_is_told_and_does_without_where_the_cache_can_serve(hub: StandInHub) -> None:
    hub.faults.append(Faults("/api/models/gpt2-medium", status=429))
    with pytest.raises(
        UserError, match=r"can't be had now: the hub .* takes no more requests \(429\); wait, or log in"
    ):
        fetch_model(HubName(GPT2_MEDIUM), "model.name")
    hub.faults.clear()
    found = fetch_model(HubName(GPT2_MEDIUM), "model.name")
    hub.faults.append(Faults("/api/models/gpt2-medium", status=429))
    assert fetch_model(HubName(GPT2_MEDIUM), "model.name") == found


def test_data_that_cant_be_read_name_the_file_and_the_reason(hub: StandInHub) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"
    card = b"---\nconfigs:\n- config_name: main\n  data_files: a.jsonl\n- config_name: other\n  data_files: b.jsonl\n"
    for name, files, expected in [
        ("a/pointer", {"train.jsonl": pointer}, "lacks data: train.jsonl is a pointer of Git LFS"),
        (
            "a/configs",
            {"README.md": card + b"---", "a.jsonl": b'{"chosen": "x"}'},
            r"data\.train: 'a/configs:train' has several configurations; accepted: a/configs/main:train, a/co",
        ),
        (
            "a/torn",
            {"train.jsonl": b'{"chosen": "x"}\n{"chos'},
            r"as a data set: .*JSON parse error: Missing",
        ),
    ]:
        hub.repositories["dataset", name] = Repository(name, "dataset", files)
        with pytest.raises(UserError, match=expected) as raised:
            load_sft(DataSources((name,)))
        assert "\n" not in str(raised.value)


def test_a_configuration_is_named_after_the_data_set(hub: StandInHub) -> None:
    card = (
        b"---\nconfigs:\n- config_name: main\n  data_files: a.jsonl\n- config_name: other\n  data_files: b.jsonl\n---"
    )
    files = {"README.md": card, "a.jsonl": b'{"question": "a", "answer": "b"}', "b.jsonl": b'{"text": "x"}'}
    hub.repositories["dataset", "a/two"] = Repository("a/two", "dataset", files)
    commit = hub.repository("a/two", "dataset").main
    for source in ("a/two/main", f"a/two/main@{commit}:train"):
        read = load_sft(DataSources((source,), ("a/two/main:train",)))
        assert (read.kind, len(read.train)) == ("pairs", 1)
    assert load_sft(DataSources(("a/two/other",), ("a/two/other:train",))).kind == "text"
    with pytest.raises(
        UserError, match="'a/two:train' has no configuration 'third'; accepted: a/two/main:train, a/two/o"
    ):
        load_sft(DataSources(("a/two/third",)))
    main, other = (source_digests(DataSources((f"a/two/{config}",)))[0] for config in ("main", "other"))
    assert (main.name, main.digest, main == other) == ("a/two/main:train", commit, False)


def test_a_slow_download_comes_through(hub: StandInHub) -> None:
    hub.faults.append(Faults("model.safetensors", pause_seconds=0.05))
    assert load_base(fetch_model(HubName(GPT2_MEDIUM), "model.name").folder)


def test_no_space_and_no_permission_are_told_before_the_download(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
        with pytest.raises(UserError, match=r"model.name: 'gpt2-medium' takes \d+ MB, but .*hub has 1 MB left"):
            fetch_model(HubName(GPT2_MEDIUM), "model.name")
    (tmp_path / "file").touch()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(UserError, match=r"can't be kept in .*file.hub .*; set HF_HOME to another folder"):
        fetch_tokenizer(HubName(GPT2_MEDIUM), "model.tokenizer")


def test_a_large_download_is_announced(hub: StandInHub) -> None:
    said: list[str] = []
    repository = hub.repository(GPT2_MEDIUM)
    repository.commit({**repository.files, "model.safetensors": bytes(12_000_000)})
    fetch_model(HubName(GPT2_MEDIUM), "model.name", said.append)
    assert said == ["downloading gpt2-medium from the hub: 12 MB"]
    fetch_model(HubName(GPT2_MEDIUM), "model.name", said.append)
    assert len(said) == 1


def test_a_card_is_no_data_and_json_of_a_model_is_read(hub: StandInHub) -> None:
    hub.repositories["dataset", "a/card"] = Repository("a/card", "dataset", {"README.md": b"Soon."})
    with pytest.raises(UserError, match=r"data\.train: 'a/card' has no data files; accepted: \.jsonl"):
        fetch_dataset(HubName("a/card"), "data.train")
    assert json.loads((fetch_config(HubName(GPT2_MEDIUM), "model.name").folder / "config.json").read_text())
