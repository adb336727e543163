"""Runs of Weights & Biases: online with a key, as its environment variables say, or else in an offline folder."""

import netrc
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb

from basis.outcomes import Outcome
from sweep.tracking.sent import SentTrial
from sweep.tracking.tracker import Place, RunToOpen
from sweep.tracking.trials import Ended, Numbers, TrackedRow

ID_LETTERS, INIT_SECONDS = 16, 20.0


class WandbRuns:
    """A run of W&B for each trial, whose id follows from the trial's name: what goes on has the same one."""

    def __init__(self, place: Place) -> None:
        """Find where runs go."""
        self._place = place
        self._mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
        folder = Path(os.environ.get("WANDB_DIR") or place.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._offline_runs = folder / "wandb"
        self._settings = wandb.Settings(
            root_dir=str(folder),
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            init_timeout=INIT_SECONDS,
            login_timeout=INIT_SECONDS,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        self._runs: dict[str, Any] = {}
        self._former: dict[str, str] = {}

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        """See `Tracker`. Offline a run can't be gone on with: it is written anew from its first row, in one piece."""
        identity = f"{self._place.experiment_dir.resolve()}/{run.name}"
        name = sent.run if sent else sha256(identity.encode()).hexdigest()[:ID_LETTERS]
        offline = self._mode in ("offline", "dryrun")
        opened = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or self._place.sweep[:128],
            id=name,
            name=run.name,
            group=os.environ.get("WANDB_RUN_GROUP") or run.tags["experiment"],
            job_type=run.tags["stage"],
            tags=[f"{tag}: {run.tags[tag]}"[:64] for tag in ("arm", "seed", "stage")],
            config={**run.params, **{f"tags.{tag}": value for tag, value in run.tags.items()}},
            mode=self._mode,  # type: ignore[arg-type]  # as the user's variable has it
            resume=None if offline else "allow",
            reinit="create_new",
            settings=self._settings,
        )
        self._runs[name] = opened
        if offline and sent and sent.place:
            self._former[name] = sent.place
        if offline or sent is None:
            return SentTrial(name, place=Path(opened.dir).parent.name if offline else "")
        return sent

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        """See `Tracker`."""
        for row in rows:
            self._runs[sent.run].log(dict(row.metrics), step=row.step)

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        """See `Tracker`. A trial that the sweep's end has cut short is none that has finished."""
        run = self._runs.pop(sent.run)
        outcome = Outcome.INTERRUPTED if ended is None else ended.outcome
        run.summary.update({**final, "outcome": outcome.value, "reason": ended.reason if ended else ""})
        run.finish(exit_code=0 if outcome in (Outcome.FINISHED, Outcome.STOPPED_BY_REQUEST) else 1)
        if former := self._former.pop(sent.run, None):  # the same run, of which less was known
            with suppress(OSError):
                shutil.rmtree(self._offline_runs / former)


def has_key() -> bool:
    """Whether W&B has a key, in its variables or in .netrc, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
