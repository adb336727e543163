"""The report in Markdown."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.fairness.ledger import Ledger
from analysis.page.content import Content
from analysis.page.excerpts import MOST_ROWS, excerpt_note
from analysis.page.responses import Answer, SideBySide
from analysis.verdict.summary import Board, Place, Summary
from analysis.wording.numbers import MISSING, show_bytes, show_interval

PROMPTS = 5
"""Prompts whose responses are shown."""

TOLD = {True: "yes", False: "no", None: "untested"}
"""What a leaderboard says of a test against the best arm."""

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"

TRACE = "Numbers come from `result.json`, reward margins and the tests of rewards and wins from `responses.jsonl`, in:"


def to_markdown(content: Content) -> str:
    """The report in Markdown; figures are links into figures/."""
    grids = {name: _grid(name, frame) for name, frame in content.frames.items()}
    parts = [f"# {_text(content.title)}", _text(content.about), _definitions(content.facts)]
    parts += [*_summary(content.summary), "## What this shows"]
    for finding in content.findings:
        parts.append(f"**{finding.topic}.** {_text(' '.join(finding.sentences))}")
    for table in content.tables:
        parts += [f"## {table.title}", grids[f"table-{table.anchor}"], *_image(content, f"loss-{table.anchor}")]
        parts += _ledger(content.ledgers[table.anchor], table.factor)
        parts.append(_text(" ".join(table.notes)))
        if table.anchor in content.pairs:
            pairs = content.pairs[table.anchor]
            parts += ["### Pair by pair", grids[f"pairs-{table.anchor}"], _text(" ".join(pairs.notes))]
        trace = [
            f"- {_text(label)}: {', '.join(f'`{name}`' for name in trials)}"
            for label, trials in table.trace[:MOST_ROWS]
        ]
        if len(table.trace) > MOST_ROWS:
            trace.append(f"- the first {MOST_ROWS} arms; `trials.csv` has all")
        parts += [TRACE, "\n".join(trace)] if trace else []
    if content.mattered is not None:
        mattered = content.mattered
        parts += ["## What mattered", grids["effects"], grids["importance"], *_image(content, "pareto")]
        parts += [grids["costs"], _list(mattered.notes)]
    if content.tuning is not None:
        parts += ["## Tuning", grids["tuning"], _text(" ".join(content.tuning.notes))]
    if content.memory is not None:
        memory = content.memory
        parts += ["## Memory", grids["memory"], grids["memory-parts"], _text(" ".join(memory.notes))]
        parts += _image(content, "memory")
        parts += ["### Attempts that ran out of memory", grids["memory-attempts"]] if len(memory.attempts) else []
    if "win-rate" in content.drawings:
        parts += ["## Win rate", *_image(content, "win-rate")]
    if content.published is not None:
        parts += ["## Published figures beside ours", grids["published"], _list(content.remarks)]
        for title, ledger in content.published_ledgers.items():
            parts += [f"### The same checks on the published table: {_text(title)}", *_ledger(ledger, "the factor")]
    if content.published_memory is not None:
        explained = content.published_memory
        parts += ["## The published “GPU memory”, to the byte", grids["published-memory"]]
        parts += [_text(" ".join(explained.explained_notes))]
        parts += ["### Ours beside it, in bytes", grids["published-memory-ours"]] if len(explained.ours) else []
        parts += [_text(" ".join(explained.ours_notes))]
    if content.responses is not None:
        parts += _responses(content.responses)
    if len(content.unfinished):
        parts += ["## Trials that did not finish or were not judged", grids["unfinished"]]
    for name, values in content.details.items():
        parts += [f"## {name[:1].upper()}{name[1:]}", _definitions(values)]
    parts += ["## Spec", f"```yaml\n{content.spec}```"] if content.spec else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(summary: Summary) -> list[str]:
    """The first screen: verdicts, trust with the commands that would raise it, and the leaderboards."""
    parts = ["## In short"]
    for verdict in summary.verdicts:
        parts.append(f"**{verdict.title}: {_text(verdict.headline)}.** {_text(' · '.join(verdict.facts))}")
    parts.append(f"**Trust: {summary.trust.level}.**{'' if summary.trust.doubts else ' No doubt is known.'}")
    for doubt in summary.trust.doubts:
        parts.append(f"- {_text(doubt.reason)} ({doubt.level}): {_text(doubt.detail)}")
        parts += [f"```sh\n{doubt.remedy}\n```"] if doubt.remedy else []
    for board in summary.boards:
        parts += [f"### Arms, best first{f': {_text(board.title)}' if board.title else ''}", _board_grid(board)]
    return [*parts, *[f"The first {MOST_ROWS} arms of each leaderboard are shown."] * _is_cut(summary)]


def _is_cut(summary: Summary) -> bool:
    return any(len(board.places) > MOST_ROWS for board in summary.boards)


def _board_grid(board: Board) -> str:
    """A leaderboard as a table of Markdown."""
    loss = f"test loss, {board.unit}"
    rows = [
        {
            "rank": str(place.rank or MISSING),
            "arm": _text(place.label),
            "state": place.state,
            loss: show_interval(place.loss, 4),
            "above the best": show_interval(place.gap, 4, signed=True),
            "told apart": TOLD[place.differs] if place.rank != 1 else "",
            "wins-losses": _wins(place),
            "peak memory": show_bytes(place.peak_bytes),
        }
        for place in board.places[:MOST_ROWS]
    ]
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def _wins(place: Place) -> str:
    if place.wins is None:
        return MISSING
    return f"{place.wins}-{place.losses}{'' if place.won is None else ', beyond chance'}"


def _image(content: Content, name: str) -> list[str]:
    drawing = content.drawings.get(name)
    return (
        [f"![{_text(drawing.caption)}](figures/{drawing.name}.png)", f"*{_text(drawing.caption)}*"] if drawing else []
    )


def _ledger(ledger: Ledger, factor: str | None) -> list[str]:
    """Confounds, flags and remarks; what else was checked is on the page."""
    parts = []
    if ledger.confounds:
        parts += [f"**Confounds, not the same at every level of {factor}:**", _list(ledger.confounds)]
    if ledger.flags:
        parts += ["**To be read with care:**", _list(ledger.flags)]
    return [*parts, *map(_text, ledger.remarks)]


def _list(entries: Sequence[str]) -> str:
    return "\n".join(f"- {_text(entry)}" for entry in entries)


def _responses(responses: SideBySide) -> list[str]:
    """The first prompts with their responses; the page has more."""
    shown = responses.prompts[:PROMPTS]
    parts = ["## Responses side by side", _text(" ".join(responses.notes))]
    parts.append(f"The first {len(shown)} of the {len(responses.prompts)} prompts in `report.html`.")
    for prompt in shown:
        spread = "" if math.isnan(prompt.spread) else f" (spread {prompt.spread:.2f})"
        answers = "\n".join(f"- {_answer(answer)}" for answer in prompt.every_answer)
        parts += [f"**{_text(prompt.text)}**{spread}", answers]
    return parts


def _answer(answer: Answer) -> str:
    reward = "" if math.isnan(answer.reward) else f"{answer.reward:+.2f}"
    score = " ".join(part for part in (reward, answer.outcome) if part)
    who = ", ".join(part for part in (answer.arm, answer.seed, score) if part)
    said = "not kept" if answer.response is None else _text(answer.response) or "empty"
    return f"{_text(who)}: {said}"


def _grid(name: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    shown = str(frame.head(MOST_ROWS).map(_text).to_markdown(index=False, disable_numparse=True))
    note = excerpt_note(name, len(frame))
    return f"{shown}\n\n{note}" if note else shown


def _definitions(values: Mapping[str, str]) -> str:
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in values.items())


def _text(value: str) -> str:
    """Text that Markdown shows as it is, in a table cell too. What a model says may hold NUL and the like."""
    printed = "".join(char if char.isprintable() or char.isspace() else UNPRINTABLE for char in str(value))
    escaped = "".join(f"\\{char}" if char in "\\`*_|<>[]" else char for char in printed)
    return " ".join(escaped.split())
