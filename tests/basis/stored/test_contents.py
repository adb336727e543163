"""Folders that all nodes need go to the store once, and come to each node once."""

import os
from pathlib import Path

import pytest

from basis.checksums import seal_folder
from basis.stored.address import parse_address
from basis.stored.contents import CONTENTS_DIR, Content, discard_unused
from basis.stored.store import Store, StoreError
from tests.object_store import ObjectStore


def store_of(bucket: ObjectStore, path: str) -> Store:
    return Store(parse_address("--output", bucket.address(path)), "--output")


def a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 1000)
    (folder / "optimizer.pt").write_bytes(b"of nobody's need")
    return folder


def test_a_folder_is_sent_once_and_brought_once_with_the_files_that_are_needed(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    model, store = a_model(tmp_path / "model"), store_of(bucket, "contents")
    content = Content.of(model, [model / "config.json", model / "model.safetensors"])
    content.send(store, model)
    assert len(bucket.objects("contents")) == 2
    bucket.seen.clear()
    content.send(store, model)
    assert not any(line.startswith("PUT") for line in bucket.seen)

    moved = a_model(tmp_path / "elsewhere" / "model")
    assert Content.of(moved, [moved / "model.safetensors", moved / "config.json"]) == content
    here = content.bring(store, tmp_path / "node")
    assert here.name == "model"
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {
        path.name: path.read_bytes() for path in model.iterdir() if path.suffix != ".pt"
    }
    bucket.seen.clear()
    assert content.bring(store, tmp_path / "node") == here
    assert not bucket.seen


def test_seals_of_a_folder_that_has_them_are_taken_and_its_files_not_read(tmp_path: Path) -> None:
    model = a_model(tmp_path / "model")
    seal_folder(model)
    sealed = Content.of(model, [model / "config.json"])
    (model / "config.json").write_text("[]")
    assert Content.of(model, [model / "config.json"]) == sealed


def test_what_is_not_what_was_sent_is_refused_and_brought_once_it_is(bucket: ObjectStore, tmp_path: Path) -> None:
    model, store = a_model(tmp_path / "model"), store_of(bucket, "other-contents")
    content = Content.of(model, [model / "config.json"])
    [name] = [f"{CONTENTS_DIR}/{sealed['sha256']}" for sealed in content.files.values()]
    with pytest.raises(StoreError, match=f"{name} in it is missing"):
        content.bring(store, tmp_path / "node")
    bucket.put(f"other-contents/{name}", b"[]")
    with pytest.raises(StoreError, match=f"{name} in it has other content than was written"):
        content.bring(store, tmp_path / "node")
    bucket.put(f"other-contents/{name}", b"{}")
    assert (content.bring(store, tmp_path / "node") / "config.json").read_text() == "{}"


def test_a_node_lets_go_of_what_nobody_asks_for_and_brings_it_again(bucket: ObjectStore, tmp_path: Path) -> None:
    store, node = store_of(bucket, "unused-contents"), tmp_path / "node"
    kept, unused = ((Content.of(folder, [folder / "config.json"]), folder) for folder in models(tmp_path))
    for content, folder in (kept, unused):
        content.send(store, folder)
        content.bring(store, node)
    for content, _ in (kept, unused):
        os.utime(node / content.digest / "whole", (0, 0))
    kept[0].bring(store, node)
    discard_unused(node)
    assert {path.name for path in node.iterdir()} == {kept[0].digest}
    assert (unused[0].bring(store, node) / "config.json").is_file()


def models(folder: Path) -> list[Path]:
    return [a_model(folder / name) for name in ("one", "two")]
