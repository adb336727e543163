"""What the server tells of experiments that run, rest, vanish or are damaged, and that it tells nothing else."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import psutil
import pytest
import yaml
from yarl import URL

from basis.control_record import Decision
from basis.errors import UserError
from sweep.live import new_sweep, server
from sweep.live.known import experiment_state
from sweep.live.known.analysed import Analysis
from sweep.live.known.experiment import Experiment
from sweep.live.known.folder import Folder
from sweep.live.views import folder_view
from sweep.spec_file.load import load_plan
from sweep.steering.request import read_request
from sweep.storage.claim import claimed
from tests.sweep.live.made_up import TRIALS, Client, over, report, row, running, sweep, tell, visit
from tests.sweep.progress.made_up import end, start

SPEC = """
name: tiny
extends: demo
space:
  - {method: full, optimizer: adamw, lr: 0.001}
"""
DEAD = 2**22 + 1  # more than any process's number


async def settled(client: Client, path: str, part: str, cursor: str = "") -> dict[str, str]:
    """The parts of a page once one of them is there."""
    for _ in range(100):
        told = await client.deltas(path, cursor)
        if part in told["parts"]:
            return dict(told["parts"])
        await asyncio.sleep(0.02)
    raise AssertionError(f"{part} never came")


def test_a_running_sweep_is_told_and_then_only_what_changes(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())

    async def story(client: Client) -> None:
        parts = await settled(client, "/e/one", "summary")
        parts = (await client.deltas("/e/one"))["parts"]
        assert "running" in parts["live-progress"]
        assert "1 of 4 trials ended" in parts["live-progress"]
        assert "left" in parts["live-progress"]
        assert "full adamw" in parts["live-progress"]  # leads so far
        assert "50 / 100" in parts["live-running"]
        assert "CPU" in parts["live-devices"]
        assert "of 8.00 GiB" in parts["live-devices"]
        assert "after 1" in parts["summary"]
        told = await client.deltas("/e/one")
        assert told["every"] == 1.0
        assert len(told["curves"]["metrics"]["test_loss"]["full adamw"]["step"]) == 3

        tell(tmp_path / "one", row(TRIALS[1], time.time(), 100, 3.2))
        grown = await client.deltas("/e/one", told["cursor"])
        while not grown["curves"]:  # drawing rests, too
            grown = await client.deltas("/e/one", told["cursor"])
        assert "summary" not in grown["parts"]
        assert "live-devices" not in grown["parts"]
        assert "100 / 100" in grown["parts"]["live-running"]
        curves = grown["curves"]["metrics"]["test_loss"]
        assert (curves["full adamw"]["start"], curves["full adamw"]["mean"]) == (2, [pytest.approx(3.1)])
        assert "lora r8" not in curves

    visit(tmp_path, story)


def test_a_report_is_worked_out_again_when_a_trial_ends_and_rests_in_between(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    asked: list[float] = []

    def slow(directory: Path) -> Analysis:
        asked.append(time.monotonic())
        time.sleep(0.1)
        return report(directory)

    async def story(client: Client) -> None:
        await settled(client, "/e/one", "summary")
        cursor = (await client.deltas("/e/one"))["cursor"]
        for _ in range(5):
            await client.deltas("/e/one", cursor)
        assert len(asked) == 1
        tell(tmp_path / "one", end(TRIALS[1], time.time()))
        assert "after 2" in (await settled(client, "/e/one", "summary", cursor))["summary"]
        assert asked[1] - asked[0] >= 0.5  # it took a fifth of that

    visit(tmp_path, story, slow)


def test_a_finished_sweep_is_analysed_once(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time() - 500)
    tell(tmp_path / "one", *(end(trial, time.time() - 400) for trial in TRIALS[1:]), over(time.time() - 400))
    asked: list[Path] = []

    def counted(directory: Path) -> Analysis:
        asked.append(directory)
        return report(directory)

    async def story(client: Client) -> None:
        await settled(client, "/e/one", "summary")
        told = await client.deltas("/e/one")
        assert "finished" in told["parts"]["live-progress"]
        assert (told["every"], told["curves"]) == (10.0, {})
        for _ in range(5):
            again = await client.deltas("/e/one", told["cursor"])
            assert again["parts"] == {}
        assert len(asked) == 1
        (tmp_path / "one" / TRIALS[0].trial).touch()  # judged anew, say
        (tmp_path / "one" / "sweep.json").write_text("{}")
        for _ in range(50):
            await client.deltas("/e/one", told["cursor"])
            await asyncio.sleep(0.01)
        assert len(asked) == 2

    visit(tmp_path, story, counted)


def test_one_damaged_experiment_hides_no_other(tmp_path: Path) -> None:
    running(tmp_path / "good", time.time())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sweep.json").write_text('{"finished_at": "2026-01-01T00:00:00+00:00"')
    os.utime(tmp_path / "bad", (1, 1))
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "events.jsonl").mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "events.jsonl")
    (tmp_path / "pipe" / "spec.yaml").write_text("name: made up\n")
    (tmp_path / "no experiment").mkdir()

    def work(directory: Path) -> Analysis:
        return report(directory) if directory.name == "good" else Analysis(refusal="sweep.json is cut short")

    async def story(client: Client) -> None:
        for _ in range(50):
            [listed] = (await client.deltas(""))["parts"].values()
            if "cut short" in listed:
                break
            await asyncio.sleep(0.02)
        assert "damaged" in listed
        assert "sweep.json is cut short" in listed
        assert 'href="/e/good"' in listed
        assert 'href="/e/pipe"' in listed
        assert "1 / 4" in listed
        assert "no experiment" not in listed
        assert (await client.get("/e/bad"))[0] == 200
        assert (await client.get("/compare?e=good&e=bad&e=nothing"))[0] == 200

    visit(tmp_path, story, work)


def test_events_with_numbers_that_nothing_has_hide_no_other_experiment(tmp_path: Path) -> None:
    running(tmp_path / "good", time.time())
    told = (tmp_path / "good" / "events.jsonl").read_text()
    odd = {
        "time": '{"event":"sweep","time":1e300,"total":2,"pid":1}',
        "total": '{"event":"sweep","time":1,"total":1000000000000000000,"pid":1}',
        "step": f'{{"event":"row","time":1,"trial":"{TRIALS[1].trial}","step":{10**400}}}',
        "loss": f'{{"event":"row","time":1,"trial":"{TRIALS[1].trial}","step":1,"metrics":{{"test_loss":{10**400}}}}}',
        "mean": "".join(
            f'{{"event":"row","time":1,"trial":"{trial.trial}","step":100,"metrics":{{"test_loss":1.7e308}}}}\n'
            for trial in TRIALS[:2]
        ),
        "place": f'{{"event":"row","time":1,"trial":"{TRIALS[1].trial}","step":9,"device":"cpu","place":"x"}}',
    }
    for name, lines in odd.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_text(f"{told}{lines}\n")

    async def story(client: Client) -> None:
        for _ in range(3):
            [listed] = (await client.deltas(""))["parts"].values()
        for name in ("good", *odd):
            assert f'href="/e/{name}"' in listed
            parts = (await client.deltas(f"/e/{name}"))["parts"]
            assert "of 4 trials ended" in parts["live-progress"], name
            assert ("could not be read" in parts["live-progress"]) == (name not in ("good", "place")), name

    visit(tmp_path, story)


def test_a_list_comes_at_once_however_many_events_there_are_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        running(tmp_path / name, time.time())
    look = Experiment.look

    async def slow(experiment: Experiment, analysed: bool = True) -> None:
        await asyncio.sleep(0 if experiment.is_read else 0.05)
        if experiment.directory.name == "b":
            raise ValueError("what nobody has thought of")
        await look(experiment, analysed)

    monkeypatch.setattr(Experiment, "look", slow)
    monkeypatch.setattr(folder_view, "MOST_READING_SECONDS", 0.04)

    async def story(client: Client) -> None:
        lists = [(await client.deltas(""))["parts"]["experiments"] for _ in range(4)]
        assert [listed.count(">reading<") for listed in lists[:2]] == [2, 0]
        assert "what nobody has thought of" in lists[-1]
        assert lists[-1].count(">running<") == 2

    visit(tmp_path, story)


def test_a_killed_sweep_is_told_from_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(experiment_state, "SILENT_SECONDS", 1.0)
    own_start = psutil.Process().create_time()
    tell(tmp_path / "killed", sweep(now - 601, DEAD), start(TRIALS[0], now - 601))
    tell(
        tmp_path / "reused", sweep(own_start - 100), start(TRIALS[0], own_start - 99)
    )  # by another process of its number
    tell(tmp_path / "here", sweep(own_start + 1), start(TRIALS[0], own_start + 2))
    tell(tmp_path / "elsewhere", sweep(now - 5, DEAD), start(TRIALS[0], now + 60))
    tell(tmp_path / "ended", sweep(now - 600), over(now - 500, interrupted=4))

    async def story(client: Client) -> None:
        names = ("killed", "reused", "here", "elsewhere", "ended")
        said = {name: (await client.deltas(f"/e/{name}"))["parts"]["live-progress"] for name in names}
        assert "No word for 10 minutes, and its process is not on this machine." in said["killed"]
        assert "--resume killed" in said["killed"]
        stages = {name: text.partition('<b class="stage ')[2].partition('"')[0] for name, text in said.items()}
        assert stages == {
            "killed": "silent",
            "reused": "silent",
            "here": "running",
            "elsewhere": "running",
            "ended": "interrupted",
        }

    visit(tmp_path, story)


def test_a_page_waits_for_a_directory_and_outlives_it(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        assert "gone" in (await client.deltas("/e/later"))["parts"]["live-progress"]
        running(tmp_path / "later", time.time())
        assert (await client.get("/"))[0] == 200
        assert "1 of 4" in (await client.deltas("/e/later"))["parts"]["live-progress"]
        (tmp_path / "later").rename(tmp_path / "moved")
        assert "gone" in (await client.deltas("/e/later"))["parts"]["live-progress"]

    visit(tmp_path / "later", story)


def test_the_page_of_a_sweep_that_begins_is_its_own_before_anything_is_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "later", one=True)
    assert folder.is_experiment
    assert folder.experiments() == {"later": tmp_path / "later"}


def test_a_sweep_that_takes_the_place_of_another_is_read_from_its_start(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time() - 10)

    async def story(client: Client) -> None:
        assert "1 of 4 trials ended" in (await client.deltas("/e/one"))["parts"]["live-progress"]
        size = (tmp_path / "one" / "events.jsonl").stat().st_size
        shutil.rmtree(tmp_path / "one")
        tell(tmp_path / "one", sweep(time.time()))
        while (tmp_path / "one" / "events.jsonl").stat().st_size <= size:
            tell(tmp_path / "one", start(TRIALS[1], time.time()))
        assert "0 of 4 trials ended" in (await client.deltas("/e/one"))["parts"]["live-progress"]

    visit(tmp_path, story)


def test_a_directory_of_an_older_version_has_no_events(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "spec.yaml").write_text("name: old\n")
    times = '{"started_at": "2026-11-01T10:00:00+00:00", "finished_at": "2026-11-01T10:01:30+00:00"}'
    (folder / "sweep.json").write_text(times)
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "params.json").write_text("{}")
        (folder / name / "finished.json").write_text("[]")
    (folder / "a" / "result.json").write_text('{"step": 0, "test_loss": 4.0}\n{"step": 9, "test_loss": 3.5}\n{"st')

    async def story(client: Client) -> None:
        told = (await client.deltas("/e/old"))["parts"]["live-progress"]
        assert ">finished<" in told
        assert "2 of 2 trials ended" in told
        assert "took 1:30" in told
        assert "4.0000 → 3.5000 by step 9" in (await client.deltas("/e/old/t/a"))["parts"]["trial-curves"]

    visit(tmp_path, story, lambda directory: Analysis())


def test_a_trial_is_told_with_its_config_log_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(tmp_path / "one", time.time())
    folder = tmp_path / "one" / TRIALS[1].trial
    (folder / "error.txt").write_text("File /home/alice/secret/x.py\nValueError: no room at 10.1.2.3\n")
    (folder / "responses.jsonl").write_text('{"prompt": "<script>alert(1)</script>", "response": "<img src=x>"}\n{"pro')

    async def story(client: Client) -> None:
        path = f"/e/one/t/{TRIALS[1].trial}"
        assert (await client.get(path))[0] == 200
        parts = (await client.deltas(path))["parts"]
        assert "step 50 of 100" in parts["trial-state"]
        assert "0.001" in parts["trial-config"]
        assert "polyline" in parts["trial-curves"]
        assert "File ~/secret/x.py" in parts["trial-logs"]
        assert "10.1.2.3" not in parts["trial-logs"]
        assert "&lt;script&gt;alert(1)" in parts["trial-samples"]
        assert "<script" not in parts["trial-samples"]
        assert "&lt;img" in parts["trial-samples"]
        assert (await client.get("/e/one/t/nothing/deltas"))[0] == 404

    visit(tmp_path, story)


def test_a_server_keeps_the_pages_of_so_many_trials_and_sends_others_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path / "one", time.time())
    monkeypatch.setattr(server, "MOST_TRIAL_PAGES", 2)
    first, second, third = (f"/e/one/t/{trial.trial}" for trial in TRIALS[:3])

    async def story(client: Client) -> None:
        whole = await client.deltas(first)
        await client.deltas(second)
        assert (await client.deltas(first, whole["cursor"]))["parts"] == {}
        await client.deltas(third)  # in place of the second
        assert (await client.deltas(first, whole["cursor"]))["parts"] == {}
        await client.deltas(second)
        await client.deltas(third)
        assert (await client.deltas(first, whole["cursor"]))["parts"] == whole["parts"]

    visit(tmp_path, story)


@pytest.mark.parametrize(
    "path",
    [
        *("/e/%2E%2E", "/e/..%2Fsecret", "/e/outside", "/e/secret", "/e/one/t/linked/deltas", "/e/one/t/%2E%2E/deltas"),
        *("/e/one/t/%00/deltas", f"/e/one/t/{'a' * 3000}/deltas", "/e/%00/deltas", "/e/%ED%A0%80/deltas"),
        *("/e/one/t/..%2F..%2Fsecret/deltas", "/static/..%2Fserver.py", "/static/%2Fetc%2Fpasswd", "/etc/passwd"),
    ],
)
def test_nothing_outside_the_folder_is_read(tmp_path: Path, path: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("params.json", "spec.yaml", "error.txt"):
        (secret / name).write_text('{"secret": 1}')
    folder = tmp_path / "folder"
    running(folder / "one", time.time())
    (folder / "outside").symlink_to(secret)
    (folder / "one" / "linked").symlink_to(secret)
    (folder / "one" / TRIALS[0].trial / "error.txt").symlink_to(secret / "error.txt")

    async def story(client: Client) -> None:
        answer = await client.client.get(URL(path, encoded=True))
        assert answer.status == 404
        assert "secret" not in await answer.text()
        told = await client.deltas(f"/e/one/t/{TRIALS[0].trial}")
        assert "secret" not in str(told)
        assert "outside" not in str(await client.deltas(""))

    visit(folder, story)


def test_an_experiment_with_a_link_that_leads_out_is_not_analysed(tmp_path: Path) -> None:
    from sweep.live.known.analysed import analyse

    running(tmp_path / "one", time.time())
    (tmp_path / "one" / TRIALS[0].trial / "responses.jsonl").symlink_to("/etc/passwd")
    expected = f"{TRIALS[0].trial}/responses.jsonl is a link that leads out of the directory; it is not followed"
    assert analyse(tmp_path / "one", running=True).refusal == expected


def test_no_answer_tells_of_the_machine_or_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv("SOME_PASSWORD", "a&b<c'\"d")
    monkeypatch.setenv("HOME", str(tmp_path / "home-of-alice"))
    running(tmp_path / "home-of-alice" / "one", time.time())
    reason = f"failed with sk-0123456789abcdef in {tmp_path}/home-of-alice/x and hf_abcdefghijklmnopqrstuv"
    tell(tmp_path / "home-of-alice" / "one", end(TRIALS[1], time.time(), "failed", f"{reason} (/home/bob) a&b<c'\"d"))

    async def story(client: Client) -> None:
        paths = ["/", "/deltas", "/e/one", "/e/one/deltas", "/new", "/compare?e=one"]
        answers = [(await client.get(path))[1] for path in [*paths, f"/e/one/t/{TRIALS[1].trial}/deltas"]]
        assert any("failed with *** in ~/x and *** (~) ***" in answer for answer in answers)
        for answer in answers:
            assert "node-of-a-cluster" not in answer
            assert "home-of-alice" not in answer
            assert "sk-0123" not in answer
            assert "hf_" not in answer

    visit(tmp_path / "home-of-alice", story)


def test_a_get_changes_nothing(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())

    def files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = files()

    async def story(client: Client) -> None:
        for path in ("/", "/deltas", "/e/one", "/e/one/deltas", "/new", "/compare?e=one", "/new/start", "/e/one/ask"):
            await client.get(path)
        assert (await client.client.head("/")).status in (403, 405)

    visit(tmp_path, story)
    assert files() == before


def test_a_request_to_the_sweep_is_checked_as_that_of_the_command(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())

    async def story(client: Client) -> None:
        status, told = await client.post("/e/one/ask", words=["stop", TRIALS[1].trial])
        assert status == 409
        assert told["text"].startswith("tmp/one: its sweep is not running; go on with: ".replace("tmp", tmp_path.name))
        assert str(tmp_path) not in told["text"]
        status, told = await client.post("/e/one/ask", words=["clone", "x", "lr"])
        assert (status, told["text"]) == (409, "clone: 'lr' is not accepted; accepted: FIELD=VALUE, such as lr=3e-4")
        assert (await client.post("/e/one/ask", words="stop"))[0] == 400
        assert (await client.post("/e/one/ask", other=1))[0] == 400

    visit(tmp_path, story)


def test_a_request_of_a_page_reaches_the_sweep_and_its_answer_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.2)
    directory = tmp_path / "one"
    running(directory, time.time())
    typed = tmp_path / "typed.yaml"
    typed.write_text(SPEC)
    kept_spec = load_plan(str(typed)).spec.model_dump(mode="json")
    (directory / "spec.yaml").write_text(yaml.safe_dump(kept_spec))

    async def story(client: Client) -> None:
        with claimed(directory):
            status, told = await client.post("/e/one/ask", words=["add", "{method: full, optimizer: adamw, lr: 0.5}"])
            assert (status, told["text"][:36]) == (200, "Asked, and not answered within 0.2 s"), told
            assert "waits for the sweep" in (await client.deltas("/e/one"))["parts"]["live-answers"]
        [kept] = (directory / "control").iterdir()
        request = read_request(kept)
        assert (request.action, request.origin, request.values["lr"]) == ("add", "page", 0.5)
        decision = Decision(kept.stem, request.time, time.time(), "page", request.words, "add", "added <b>it</b>")
        (directory / "control.jsonl").write_text(decision.to_line())
        kept.unlink()
        told = (await client.deltas("/e/one"))["parts"]["live-answers"]
        assert "added &lt;b&gt;it" in told
        assert "from the page" in told

    visit(tmp_path, story)


def test_a_new_sweep_is_checked_with_the_messages_of_the_command_line(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        status, told = await client.post("/new/check", spec=SPEC.replace("0.001", "fast"))
        assert (status, told["ok"]) == (200, False)
        typed = tmp_path / "typed"
        typed.mkdir()
        (typed / "spec.yaml").write_text(SPEC.replace("0.001", "fast"))
        with pytest.raises(UserError) as caught:
            load_plan(str(typed / "spec.yaml"))
        assert told["text"] == str(caught.value).replace(f"{typed}/", "")
        assert (await client.post("/new/check", spec=SPEC))[1][
            "text"
        ] == "The spec is valid: tiny, 1 trial to begin with."
        assert (await client.post("/new/start", spec="name: x"))[1]["ok"] is False
        assert (await client.post("/new/else", spec=SPEC))[0] == 404
        assert sorted(path.name for path in tmp_path.iterdir()) == ["typed"]

    visit(tmp_path, story)


def test_a_server_of_one_experiment_starts_no_other(tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())

    async def story(client: Client) -> None:
        assert (await client.get("/new"))[0] == 404
        assert (await client.post("/new/start", spec=SPEC))[0] == 404

    visit(tmp_path / "one", story)


def test_a_name_that_has_been_used_is_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda words, **_: None)
    first = new_sweep.start(SPEC, tmp_path)
    assert first.ok, first
    second = new_sweep.start(SPEC.replace("0.001", "0.002"), tmp_path)  # before the first has made its directory
    assert second.ok, second
    assert first.link != second.link
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4
    assert "0.001" in (tmp_path / f"{first.link.removeprefix('/e/')}.yaml").read_text()


def test_a_started_sweep_has_its_files_in_the_folder_and_says_there_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text("no JSON\n")
    data = str(tmp_path / "broken.jsonl")
    spec = f"{SPEC}data: {{train: [{data}], test: [{data}]}}\n"  # valid, and refused when it is run

    async def story(client: Client) -> None:
        _, told = await client.post("/new/start", spec=spec)
        assert told["ok"], told
        name = told["link"].removeprefix("/e/")
        assert name.startswith("tiny-")
        assert (tmp_path / f"{name}.yaml").read_text() == spec
        log = tmp_path / f"{name}.log"
        for _ in range(600):
            if "error:" in log.read_text():
                break
            await asyncio.sleep(0.05)
        assert "broken.jsonl" in log.read_text()

    visit(tmp_path, story)
