"""A copy of an experiment goes to the store and comes back, whole files only, and nothing that differs is lost."""

import os
import shutil
import time
from pathlib import Path

import pytest

from basis.stored import store as store_module
from basis.stored.address import parse_address
from basis.stored.copy import Copy
from basis.stored.kinds import is_weights
from basis.stored.store import Store
from tests.object_store import ObjectStore


def copy_in(folder: Path, bucket: ObjectStore, path: str) -> Copy:
    return Copy(Store(parse_address("--output", bucket.address(path)), "--output"), folder)


def write(folder: Path, **files: str) -> None:
    """Files by their paths, with __ for / and _ for the dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_an_experiment_goes_on_on_another_machine_and_comes_back(bucket: ObjectStore, tmp_path: Path) -> None:
    here, there = copy_in(tmp_path / "here", bucket, "moved"), copy_in(tmp_path / "there", bucket, "moved")
    write(here.folder, spec_yaml="spec", one__checkpoint_pt="weights", two__finished_json="done", sweep_lock="")
    write(here.folder, one__half_partial="no")
    assert here.push().failed == {}
    assert bucket.objects("moved").keys() == {"spec.yaml", "one/checkpoint.pt", "two/finished.json"}
    assert here.push().sent == 0

    there.pull()
    assert texts(there.folder) == {"spec.yaml": "spec", "one/checkpoint.pt": "weights", "two/finished.json": "done"}
    write(there.folder, one__finished_json="done there", spec_yaml="spec")
    (there.folder / "one" / "checkpoint.pt").unlink()
    assert there.push(is_end=True).failed == {}
    assert bucket.objects("moved").keys() == {"spec.yaml", "one/finished.json", "two/finished.json"}

    again = copy_in(here.folder, bucket, "moved")  # a process of its own, which knows what the index says
    again.pull()
    expected = {"spec.yaml": "spec", "one/finished.json": "done there", "two/finished.json": "done"}
    assert texts(here.folder) == {**expected, "sweep.lock": "", "one/half.partial": "no"}


def test_what_was_not_sent_before_a_kill_is_sent_by_the_next_start(bucket: ObjectStore, tmp_path: Path) -> None:
    first = copy_in(tmp_path / "copy", bucket, "killed")
    write(first.folder, spec_yaml="spec")
    first.push()
    write(first.folder, one__finished_json="done")
    again = copy_in(tmp_path / "copy", bucket, "killed")
    bucket.seen.clear()
    again.pull()
    assert not any("spec.yaml" in line for line in bucket.seen), "nothing is brought twice"
    again.push(is_end=True)
    assert bucket.objects("killed") == {"spec.yaml": b"spec", "one/finished.json": b"done"}


def test_what_changed_on_both_sides_is_the_later_one(bucket: ObjectStore, tmp_path: Path) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "both")
    write(copy.folder, sweep_json="ours")
    copy.push()
    copy.pull()
    bucket.put("both/sweep.json", b"theirs, longer")
    write(copy.folder, sweep_json="ours, newer")
    copy.pull()
    assert texts(copy.folder) == {"sweep.json": "theirs, longer"}


def test_that_a_trial_is_finished_is_sent_after_its_files_and_never_without_them(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ATTEMPTS", 1)
    copy = copy_in(tmp_path / "copy", bucket, "order")
    write(copy.folder, one__trained_safetensors="weights", one__finished_json="done", one__record_json="record")
    write(copy.folder, two__finished_json="done")
    bucket.fails = lambda method, path: "busy" if path.endswith("one/trained.safetensors") else None
    pushed = copy.push()
    assert pushed.failed.keys() == {"one/trained.safetensors"}
    assert bucket.objects("order").keys() == {"one/record.json", "two/finished.json"}
    bucket.fails = lambda method, path: None
    bucket.seen.clear()
    assert copy.push().failed == {}
    assert bucket.seen == ["PUT /sweeps/order/one/trained.safetensors", "PUT /sweeps/order/one/finished.json"]


def test_the_spec_is_sent_before_all_else_and_nothing_without_it(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ATTEMPTS", 1)
    copy = copy_in(tmp_path / "copy", bucket, "spec first")
    write(copy.folder, spec_yaml="spec", **{f"trial{number}__params_json": "params" for number in range(20)})
    bucket.fails = lambda method, path: "busy" if path.endswith("/spec.yaml") else None
    assert len(copy.push().failed) == 21
    assert bucket.objects("spec first") == {}
    bucket.fails = lambda method, path: None
    bucket.seen.clear()
    assert (copy.push().sent, bucket.seen[0]) == (21, "PUT /sweeps/spec first/spec.yaml")


def test_a_file_that_goes_on_growing_is_sent_once_a_minute_and_a_checkpoint_each_time(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "growing")
    for number in range(1, 6):
        write(copy.folder, one__result_json="row\n" * number, one__checkpoint_pt="step" * number)
        copy.push()
    assert sum("result.json" in line for line in bucket.seen) == 1
    assert sum("checkpoint.pt" in line for line in bucket.seen) == 5
    copy.push(is_end=True)
    assert bucket.objects("growing")["one/result.json"] == b"row\n" * 5


def test_a_report_leaves_weights_in_the_store_and_a_resume_brings_them(bucket: ObjectStore, tmp_path: Path) -> None:
    sweep = copy_in(tmp_path / "sweep", bucket, "weights")
    write(sweep.folder, one__trained_safetensors="weights", one__finished_json="done")
    sweep.push(is_end=True)
    sweep.drop_large()
    assert not (sweep.folder / "one" / "trained.safetensors").exists()
    assert sweep.push(is_end=True).sent == 0, "what is not kept here is not deleted there"

    reader = copy_in(tmp_path / "reader", bucket, "weights")
    reader.pull(lambda name: not is_weights(name))
    assert texts(reader.folder) == {"one/finished.json": "done"}
    write(reader.folder, report__report_html="page")
    reader.push(is_end=True)
    assert bucket.objects("weights").keys() == {"one/trained.safetensors", "one/finished.json", "report/report.html"}
    for copy in (sweep, reader):
        copy.pull()
        assert (copy.folder / "one" / "trained.safetensors").read_text() == "weights"


def test_a_damaged_index_has_all_brought_again(bucket: ObjectStore, tmp_path: Path) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "index")
    write(copy.folder, spec_yaml="spec", one__finished_json="done")
    copy.push()
    (copy.folder / ".stored.json").write_text('{"spec.yaml": 3')
    again = copy_in(tmp_path / "copy", bucket, "index")
    again.pull()
    assert texts(again.folder) == {"spec.yaml": "spec", "one/finished.json": "done"}
    assert again.push(is_end=True).sent == 0


def test_files_that_somebody_removed_from_the_copy_are_brought_again_and_stay_in_the_store(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "cleaned")
    write(copy.folder, spec_yaml="spec", one__finished_json="done")
    copy.push()
    for path in ("spec.yaml", "one/finished.json"):  # as a cleaner of old files does; it leaves hidden ones
        (copy.folder / path).unlink()
    again = copy_in(tmp_path / "copy", bucket, "cleaned")
    again.pull()
    assert texts(again.folder) == {"spec.yaml": "spec", "one/finished.json": "done"}
    again.push(is_end=True)
    assert bucket.objects("cleaned").keys() == {"spec.yaml", "one/finished.json"}


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_copy_that_vanishes_while_it_is_sent_empties_no_store(bucket: ObjectStore, tmp_path: Path, left: str) -> None:
    path = f"vanished {left}"
    copy = copy_in(tmp_path / "copy", bucket, path)
    write(copy.folder, spec_yaml="spec", one__finished_json="done")
    copy.push()
    shutil.rmtree(copy.folder)
    if left == "an empty folder":
        copy.folder.mkdir()
    copy.push(is_end=True)
    assert bucket.objects(path).keys() == {"spec.yaml", "one/finished.json"}


def test_what_is_newer_here_than_in_the_store_stays_where_the_index_was_lost(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "newer")
    write(copy.folder, one__checkpoint_pt="step 100")
    copy.push()
    write(copy.folder, one__checkpoint_pt="step 200")
    later = time.time() + 5
    os.utime(copy.folder / "one" / "checkpoint.pt", (later, later))
    (copy.folder / ".stored.json").unlink()
    again = copy_in(tmp_path / "copy", bucket, "newer")
    again.pull()
    again.push()
    assert bucket.objects("newer") == {"one/checkpoint.pt": b"step 200"}


def test_a_finished_trial_is_sent_with_all_that_changed_in_it(bucket: ObjectStore, tmp_path: Path) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "all of it")
    write(copy.folder, one__result_json="row", two__result_json="row")
    copy.push()
    write(copy.folder, one__result_json="row, row", two__result_json="row, row", one__finished_json="done")
    copy.push()
    stored = bucket.objects("all of it")
    assert stored["one/result.json"] == b"row, row"
    assert stored["two/result.json"] == b"row", "which waits for its minute"


def test_hidden_files_and_locks_of_others_are_neither_brought_nor_deleted(bucket: ObjectStore, tmp_path: Path) -> None:
    bucket.put("hidden/report/.nojekyll", b"")
    bucket.put("hidden/a.lock", b"")
    bucket.put("hidden/spec.yaml", b"spec")
    copy = copy_in(tmp_path / "copy", bucket, "hidden")
    copy.pull()
    copy.push(is_end=True)
    assert texts(copy.folder) == {"spec.yaml": "spec"}
    assert bucket.objects("hidden").keys() == {"report/.nojekyll", "a.lock", "spec.yaml"}


def test_of_a_report_nothing_but_the_report_is_sent(bucket: ObjectStore, tmp_path: Path) -> None:
    copy = copy_in(tmp_path / "copy", bucket, "report")
    write(copy.folder, spec_yaml="spec", one__finished_json="of a machine that died", report__report_html="page")
    copy.push(is_end=True, within="report/")
    assert bucket.objects("report").keys() == {"report/report.html"}
