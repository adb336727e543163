"""A real sweep, read back from every tracker: the numbers of result.json, and how each trial ended."""

import json

import pytest

from basis.directory import RESULT_FILE
from tests.conftest import Swept
from tests.sweep.tracking.read_back import of_mlflow, of_tensorboard, of_trackio_in, of_wandb

ENDED = {
    "tensorboard": {"full-adamw": "1", "lora-r2": "1", "full-sgd": "2"},  # success, failure
    "mlflow": {"full-adamw": "FINISHED", "lora-r2": "FINISHED", "full-sgd": "FAILED"},
    "wandb": {"full-adamw": "0", "lora-r2": "0", "full-sgd": "1"},
    "trackio": {"full-adamw": "finished", "lora-r2": "finished", "full-sgd": "diverged"},
}


@pytest.mark.parametrize("tracker", ENDED)
def test_a_tracker_has_the_numbers_of_every_trial(swept: Swept, tracker: str) -> None:
    folder = swept.experiment / "tracking"
    trials = sorted(path.parent for path in swept.experiment.glob(f"*/{RESULT_FILE}"))
    kept = {
        "tensorboard": lambda: {trial.name: [of_tensorboard(trial)] for trial in trials},
        "mlflow": lambda: of_mlflow(folder, "tiny"),
        "wandb": lambda: of_wandb(folder),
        "trackio": lambda: of_trackio_in(folder / "trackio", "tiny"),
    }[tracker]()
    assert kept.keys() == {trial.name for trial in trials}
    for trial in trials:
        [run] = kept[trial.name]
        rows = [json.loads(line) for line in (trial / RESULT_FILE).read_text(encoding="utf-8").splitlines()]
        losses = {row["step"]: row["test_loss"] for row in rows}
        assert run.curves["test_loss"] == pytest.approx(losses, rel=1e-6 if tracker == "tensorboard" else 0, abs=0)
        if "win_rate" in rows[-1]:
            won = run.params.get("summary.win_rate", run.curves.get("win_rate", {}).get(rows[-1]["step"]))
            assert won == pytest.approx(rows[-1]["win_rate"])
        [status] = [ended for arm, ended in ENDED[tracker].items() if trial.name.startswith(arm)]
        assert run.status == status
        params = json.loads((trial / "params.json").read_text(encoding="utf-8"))
        assert float(run.params["lr"]) == params["lr"]
        assert run.params["method"] == params["method"]
