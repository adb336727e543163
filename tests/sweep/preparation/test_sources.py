"""What the names in a spec stand for."""

from dataclasses import astuple
from pathlib import Path

import pytest

from sweep.demo.assets import DemoAssets
from sweep.demo.chat.assets import ChatAssets
from sweep.preparation import sources
from sweep.preparation.sources import STUDY_PROMPTS, resolve_sources
from sweep.spec_file.load import load_spec


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoAssets:
    """The demo's assets, which nobody makes here."""
    made = DemoAssets.inside(tmp_path / "made")
    monkeypatch.setattr(sources, "demo_assets", lambda *_: made)
    return made


def test_demo_stands_for_the_made_files_and_messages_still_call_it_demo(assets: DemoAssets, tmp_path: Path) -> None:
    resolved = resolve_sources(load_spec("demo"), tmp_path, lambda _: None)
    assert resolved.judge is not None
    assert resolved.bases[None].base_model.place == resolved.bases[None].tokenizer.place == str(assets.base_model)
    assert resolved.judge.place == str(assets.reward_model)
    assert resolved.prompts_file == assets.prompts_file
    assert (resolved.data.train, resolved.data.test) == ((str(assets.train_file),), (str(assets.test_file),))
    assert {resolved.bases[None].base_model.name, resolved.judge.name} == {"demo"}
    [general] = resolved.data.general
    assert general.startswith(str(tmp_path / "demo" / "general-"))
    assert Path(general).is_file()
    assert "demo" not in astuple(resolved.data)


def test_demo_chat_stands_for_messages_and_a_chat_model_and_is_judged_by_the_demos_reward_model(
    assets: DemoAssets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = ChatAssets.inside(tmp_path / "chat")
    monkeypatch.setattr(sources, "chat_assets", lambda *_: chat)
    named = ["model.name", "data.train", "data.test", "data.general", "reward.prompts", "reward.model"]
    spec = load_spec("demo", [f"{key}=demo-chat" for key in named])
    resolved = resolve_sources(spec, tmp_path, lambda _: None)
    assert resolved.judge is not None
    assert resolved.bases[None].base_model.place == resolved.bases[None].tokenizer.place == str(chat.base_model)
    assert resolved.judge.place == str(assets.reward_model)
    assert resolved.prompts_file == chat.prompts_file
    assert (resolved.data.train, resolved.data.test) == ((str(chat.train_file),), (str(chat.test_file),))
    assert resolved.data.general == resolve_sources(load_spec("demo"), tmp_path, lambda _: None).data.general
    assert {resolved.bases[None].base_model.name, resolved.judge.name} == {"demo-chat"}


def test_the_chat_model_alone_makes_nothing_of_the_demos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "demo_assets", lambda *_: pytest.fail("made"))
    monkeypatch.setattr(sources, "chat_assets", lambda *_: ChatAssets.inside(tmp_path))
    spec = load_spec("study", ["model.name=demo-chat", "reward.model=null"])
    assert resolve_sources(spec, tmp_path, lambda _: None).bases[None].base_model.place == str(tmp_path / "base_model")


def test_a_spec_without_demo_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "demo_assets", lambda *_: pytest.fail("made"))
    monkeypatch.setattr(sources, "chat_assets", lambda *_: pytest.fail("made"))
    resolved = resolve_sources(load_spec("study"), tmp_path, lambda _: None)
    assert resolved.bases[None].base_model.place == "gpt2-medium"
    assert resolved.prompts_file == STUDY_PROMPTS
