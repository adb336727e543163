"""Small real parts that the tests share: a corpus, a byte-level BPE tokenizer, a GPT-2 and a DeBERTa reward model."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from sweep.inputs import SweepInputs
from sweep.memory.device import Device
from sweep.memory.packing import Packing
from sweep.provenance.code_version import CodeVersion
from sweep.provenance.hashes import Provenance
from sweep.run import main
from sweep.schema.reward import RewardPart
from sweep.schema.tracking import TRACKERS

END = "<|endoftext|>"
PATIENCE_SECONDS = 400
"""Until what is waited for counts as hanging, on a machine busy with other tests; it is no part of any claim."""
Here = Callable[..., tuple[int, str, str]]

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    signal.signal(number, handler)  # a shell may start the tests with signals ignored: in the background, or by nohup

LONG = (
    "tests/sweep/hub/test_study_from_the_hub.py",
    "tests/benchmarks/gpu/test_command.py",  # makes what three more files look at, which would only wait for it
    "tests/sweep/test_interrupted_sweeps.py",
    "tests/sweep/test_json_output.py",  # makes what `swept` returns
    "tests/sweep/cluster/test_node_faults.py",
    "tests/sweep/cluster/test_session.py",
    "tests/sweep/test_searches.py",
    "tests/sweep/memory/test_packing.py",
    "tests/sweep/memory/test_out_of_memory.py",
    "tests/sweep/test_several_models.py",
    "tests/model/test_predict_memory.py",
    "tests/sweep/driver/test_rejudge.py",
    "tests/sweep/tune/test_tuned_sweep.py",
    "tests/sweep/test_export_methods.py",
    "tests/sweep/cluster/test_privacy.py",
    "tests/sweep/machine/test_strange_environment.py",
    "tests/sweep/test_controlled_sweep.py",
    "tests/sweep/submission/test_lost_head.py",
    "tests/sweep/submission/test_side_by_side.py",
)
"""Files that take long, most of them for sweeps. Begun last, they would leave other processes without work."""

torch.set_num_threads(1)  # the tests' models are so small that threads cost them more than they give, on a busy machine


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out files in the order below, and not those with most tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long."""
    places = {file: place for place, file in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@dataclass(frozen=True)
class Parts:
    """Paths of the small parts, in the formats that the large ones have."""

    train: Path
    test: Path
    prompts: Path
    model: Path
    reward_model: Path

    def spec(self, **changes: Any) -> dict[str, Any]:
        """A spec of two arms that trains in about a second; `changes` replace its top-level keys."""
        return {
            "name": "tiny",
            "about": "two arms for the tests",
            "model": {"name": str(self.model)},
            "data": {"train": [str(self.train)], "test": [str(self.test)], "exclude": []},
            "trial": {"steps": 6, "batch_size": 4, "block_size": 32, "test_every": 3, "test_windows": 4},
            "space": [
                {"method": "full", "optimizer": "adamw", "lr": 1e-3},
                {"method": "lora", "rank": 2, "optimizer": "sgd", "lr": 1e-2},
            ],
            "track": [],
            "reward": {
                "model": str(self.reward_model),
                "prompts": str(self.prompts),
                "new_tokens": 8,
                "max_prompts": 6,
            },
            **changes,
        }

    def write_spec(self, folder: Path, **changes: Any) -> Path:
        """The spec as a YAML file in `folder`."""
        path = folder / "tiny.yaml"
        path.write_text(yaml.safe_dump(self.spec(**changes)), encoding="utf-8")
        return path


def dialogues(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    things = ["apple", "river", "lamp", "stone", "cloud", "garden", "spoon", "window"]
    colours = ["red", "blue", "green", "white", "black"]
    return [
        f"\n\nHuman: What colour is the {(thing := draw.choice(things))} number {draw.randrange(500)}?"
        f"\n\nAssistant: The {thing} is {draw.choice(colours)}, and I am happy to help."
        for _ in range(count)
    ]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once per test session, however many processes run the tests; the others wait."""
    session = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its processes have folders of their own, side by side
        session = session.parent
    folder, ready = session / name, session / f"{name}.ready"
    with FileLock(session / f"{name}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an attempt that failed has left
            folder.mkdir()
            make(folder)
            ready.touch()
    return folder


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The small parts, made once per test session."""
    transformers_logging.disable_progress_bar()
    folder = made_once(tmp_path_factory, "parts", _make_parts)
    return Parts(
        folder / "train.jsonl", folder / "test.jsonl", folder / "prompts.csv", folder / "model", folder / "reward"
    )


def _make_parts(folder: Path) -> None:
    for name, count, seed in (("train", 300, 0), ("test", 40, 1)):
        lines = [json.dumps({"chosen": text, "rejected": text[:-5]}) for text in dialogues(count, seed)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (folder / "prompts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["act", "prompt"])
        writer.writerows(
            [["test", f"What colour is the {thing}?"] for thing in ("apple", "river, please", "lamp", "sky")]
        )
        writer.writerows([["test", "Hello?"], ["test", "Is the garden green or is it rather blue?"]])
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(dialogues(300, 0), vocab_size=400, special_tokens=[END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(bpe.to_str()), eos_token=END, bos_token=END, unk_token=END, pad_token=END
    )
    end = tokenizer.eos_token_id
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=64,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=end,
            eos_token_id=end,
        )
    )
    judge = DebertaV2ForSequenceClassification(
        DebertaV2Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            num_labels=1,
            pad_token_id=end,
        )
    )
    for name, part in (("model", model), ("reward", judge)):
        part.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


@pytest.fixture
def inputs(parts: Parts, tmp_path: Path) -> SweepInputs:
    """What trials share, for tests that run trials without Ray; checkpoints are written at every row."""
    from sweep.data.dialogues import DataSources
    from sweep.data.prompts import read_questions
    from sweep.data.rendered_prompts import render
    from sweep.data.template import choose_template
    from sweep.data.tokenizer import load_tokenizer
    from sweep.data.tokens import prepare_tokens
    from sweep.schema.reward import STUDY_TEMPLATE

    sources = DataSources(train=(str(parts.train),), test=(str(parts.test),), exclude=())
    tokens = prepare_tokens(sources, str(parts.model), parts.model.parent / "cache", lambda text: None, block_size=32)
    experiment_dir = tmp_path / "experiment"
    experiment_dir.mkdir()
    return SweepInputs(
        experiment_dir=experiment_dir,
        base_model=str(parts.model),
        tokenizer=str(parts.model),
        train_tokens=tokens.train_path,
        test_tokens=tokens.test_path,
        prompts=render(
            read_questions(parts.prompts), choose_template(load_tokenizer(parts.model), None), STUDY_TEMPLATE
        ),
        reward=RewardPart(
            model=str(parts.reward_model), prompts=str(parts.prompts), template=STUDY_TEMPLATE, new_tokens=8
        ),
        cpus=1,
        packing=Packing(Device("cpu")),
        checkpoint_seconds=0,
        provenance=Provenance(CodeVersion("0.1.0", None, None), {}, {}),
    )


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def command(*arguments: object) -> list[str]:
    """The command line of a sweep."""
    return [sys.executable, "-m", "sweep.run", *map(str, arguments)]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For the real command: a cache of the tests' own, and a terminal wide enough for whole tables."""
    return {**os.environ, "SFT_SWEEP_CACHE": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "160"}


def run(environment: dict[str, str], *arguments: object, at_once: int = 1) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, whose imports are done; each worker's imports take long, so it has one.

    Args:
        environment: all its variables.
        arguments: of its command line.
        at_once: how many trials may run at once.
    """
    from tests.warm import run_warm  # which begins to import: nothing for tests that run no command

    limit = () if "--reproduce" in arguments else ("--max-trials", at_once)
    return run_warm(["sweep.run", *arguments, *limit], environment)


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended, and what its command said."""

    experiment: Path
    ran: subprocess.CompletedProcess[str]

    def trial(self, arm: str) -> Path:
        """The directory of the trial whose name begins so."""
        [found] = self.experiment.glob(f"{arm}-*/")
        return found


@pytest.fixture(scope="session")
def swept(parts: Parts, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The real command on the two arms and one that diverges. What tests would change of it, they copy."""

    def sweep(folder: Path) -> None:
        space = [*parts.spec()["space"], {"method": "full", "optimizer": "sgd", "lr": 1e9}]
        spec = parts.write_spec(folder, space=space, max_failures=0, track=list(TRACKERS))
        elsewhere = ("MLFLOW_TRACKING_URI", "WANDB_DIR", "WANDB_API_KEY", "TRACKIO_DIR")
        here = {name: value for name, value in environment.items() if name not in elsewhere}
        ran = run({**here, "WANDB_MODE": "offline"}, spec, "--output", folder / "experiment")
        (folder / "ran.json").write_text(json.dumps(vars(ran)), encoding="utf-8")

    folder = made_once(tmp_path_factory, "swept", sweep)
    ran = json.loads((folder / "ran.json").read_text(encoding="utf-8"))
    return Swept(folder / "experiment", subprocess.CompletedProcess(**ran))


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process, for what ends before Ray starts: exit code, output, errors."""
    monkeypatch.setenv("SFT_SWEEP_CACHE", environment["SFT_SWEEP_CACHE"])
    monkeypatch.setenv("COLUMNS", environment["COLUMNS"])

    def main_here(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return main_here
