"""A running sweep on a terminal: the trials that run, the best arms, how many trials are how far, and the time left."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis.units import show_decimals
from sweep.progress.progress import Progress, Standing, State, TrialProgress
from sweep.progress.time_left import seconds_left, trial_seconds_left

MOST_BEST = 5
"""How many of the best arms are shown."""
GAP = 2
"""Letters between two columns."""
LEAST_NAME = 16
"""Letters of a name that columns make way for."""
TOLD = (State.RUNNING, State.FINISHED, State.FAILED, State.STOPPED, State.WAITING)
"""States of trials in the order in which they are counted."""
LEAST_WANTED = ("tokens/s", "peak MiB", "trials", "train loss", "win rate", "left", "step")
"""Columns that a narrow terminal does without, the first one first."""
HEADINGS = {"test_loss": "test loss", "validation_loss": "validation loss", "test_bits_per_byte": "test bits/byte"}
"""What a column of a held-out loss is called. All but bits per byte are in nats per token."""
MIXED, NATS = "held-out loss", "nats/token"

Cells = Mapping[str, str]
"""A row of a table by the headings of its columns; the first is a name, which may be shortened."""


def render(progress: Progress, width: int, height: int, now: float) -> Group:
    """The sweep as it stands, in fewer than `height` lines of `width` letters.

    Args:
        progress: how far it is.
        width, height: of the room.
        now: in seconds since 1970.
    """
    running, standings = progress.in_state(State.RUNNING), progress.standings()
    best = standings[: max(1, min(MOST_BEST, (height - 6) // 2))]
    room = height - 4 - (len(best) + 1 if best else 0)  # all but the last two lines, a heading, and the best
    shown = running if len(running) <= room else running[: max(0, room - 1)]
    spare = room - min(room, len(running))
    parts: list[RenderableType] = []
    if shown:
        parts.append(_table(_running_cells(progress, shown, now), width))
    if len(shown) < len(running) and room > 0:
        parts.append(Text(f"and {len(running) - len(shown)} more that run", style="dim"))
    if best:
        if shown and spare:
            parts.append(Text(""))
        parts.append(_table(_best_cells(progress, best), width, first_style="bold green"))
    return Group(*parts, *_last_lines(progress, now))


def clock(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss, none below 0, as after a clock was set back; a dash if unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shortened(name: str, width: int) -> str:
    """A name in so many letters: its beginning and its end, which tells arms of one kind apart."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def _running_cells(progress: Progress, trials: Sequence[TrialProgress], now: float) -> list[Cells]:
    """What is said of each trial that runs."""
    metrics = [_own_loss(progress, trial) for trial in trials]
    known = set(metrics) - {None}
    heading = _heading(progress, known.pop()) if len(known) == 1 else MIXED
    seeds = {trial.planned.seed for trial in list(progress.trials.values())}
    return [
        {
            "running": trial.planned.label + (f" s{trial.planned.seed}" if len(seeds) > 1 else ""),
            "step": f"{trial.step}/{trial.planned.steps}",
            "train loss": _loss(trial.metrics.get("train_loss")),
            heading: _loss(trial.metrics.get(metric or "")),
            "peak MiB": _number(trial.metrics.get("peak_bytes"), "{:,.0f}", 2**20),
            "tokens/s": _number(trial.metrics.get("tokens_per_second"), "{:,.0f}"),
            "left": clock(trial_seconds_left(trial, now)),
        }
        for trial, metric in zip(trials, metrics, strict=True)
    ]


def _best_cells(progress: Progress, standings: Sequence[Standing]) -> list[Cells]:
    """What is said of each of the best arms; the first is marked as the leader."""
    heading = _heading(progress, progress.deciding_loss)
    rows: list[Cells] = []
    for place, standing in enumerate(standings):
        trials = [progress.trials[name].metrics for name in standing.trials]
        wins = [metrics["win_rate"] for metrics in trials if "win_rate" in metrics]
        peaks = [metrics["peak_bytes"] for metrics in trials if "peak_bytes" in metrics]
        rows.append(
            {
                "best so far": standing.label,
                "": "leader" if place == 0 else "",
                heading: _loss(standing.loss),
                "trials": f"{len(trials)} {'finished' if standing.is_final else 'running'}",
                "win rate": _number(fmean(wins) if wins else None, "{:.2f}"),
                "peak MiB": _number(max(peaks, default=None), "{:,.0f}", 2**20),
            }
        )
    return rows


def _last_lines(progress: Progress, now: float) -> list[Text]:
    """How many trials are how far, and the time so far and left."""
    counts = progress.counts()
    told = ", ".join(f"{counts[state]} {state}" for state in TOLD if counts[state])
    total = sum(counts.values())
    times = [f"{clock(now - progress.resumed)} so far"] if progress.resumed is not None else []
    left = seconds_left(progress, now)
    times += [] if left is None else [f"about {clock(left)} left"]
    lines = [f"{total} trial{'s' * (total != 1)}: {told}" if told else "no trial yet", ", ".join(times)]
    return [Text(line, style="dim", no_wrap=True, overflow="crop") for line in lines if line]


def _table(rows: Sequence[Cells], width: int, first_style: str = "") -> Table:
    """The rows with the columns that there is room for; where even they have too little, names are shortened."""
    wide = {heading: max(len(heading), *(len(row[heading]) for row in rows)) for heading in rows[0]}
    name = next(iter(wide))
    least = {**wide, name: max(len(name), min(wide[name], LEAST_NAME))}
    for heading in LEAST_WANTED:
        if heading in wide and _total(wide) > width and (len(wide) > 3 or _total(least) > width):
            del wide[heading], least[heading]
    wide[name] = max(len(name), min(wide[name], width - _total(wide) + wide[name]))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for heading in wide:
        table.add_column(heading, justify="left" if heading in (name, "") else "right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [shortened(row[heading], wide[name]) if heading == name else row[heading] for heading in wide]
        table.add_row(*map(Text, cells), style=first_style if number == 0 else "")
    return table


def _total(wide: Mapping[str, int]) -> int:
    return sum(wide.values()) + GAP * (len(wide) - 1)


def _own_loss(progress: Progress, trial: TrialProgress) -> str | None:
    """The metric of the held-out loss that is shown of a trial: one that may rank it, or else what there is."""
    return next((name for name in (*progress.losses, *HEADINGS) if name in trial.metrics), None)


def _heading(progress: Progress, metric: str | None) -> str:
    """What a column of a loss is called; where nats rank nobody, it says the unit."""
    return MIXED if metric is None else HEADINGS[metric] if metric in progress.losses else NATS


def _loss(value: float | None) -> str:
    return "-" if value is None else show_decimals(value)


def _number(value: float | None, form: str, divisor: float = 1) -> str:
    return "-" if value is None else form.format(value / divisor)
