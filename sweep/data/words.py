"""What a user is told of the SFT set: what it is made from, how its dialogues came about, how far test is new."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sweep.data.examples import Kind
from sweep.data.forms import FORMS
from sweep.schema.hub_names import shown_name


class Sources(Protocol):
    """What `describe_sources` needs of a spec's data or of DataSources."""

    @property
    def train(self) -> tuple[str, ...]: ...
    @property
    def test(self) -> tuple[str, ...]: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...
    @property
    def general(self) -> tuple[str, ...]: ...
    @property
    def test_fraction(self) -> float: ...


def describe_sources(data: Sources) -> str:
    """What trains, what is tested on, what is subtracted, and on what forgetting is measured, in one line."""
    held_out = f"{100 * data.test_fraction:g} % of train, held out"
    tested = _names(data.test) if data.test else held_out
    excluded = f"minus {_names(data.exclude)}" if data.exclude else "nothing subtracted"
    general = f"; general text {_names(data.general)}" if data.general else ""
    return f"train {_names(data.train)}; test {tested}; {excluded}{general}"


def describe_forms(forms: Mapping[str, int], turns: int) -> str:
    """What was recognised, in a few words: "12,431 conversations in OpenAI messages, 2.1 turns on average".

    Args:
        forms: how many examples were read in which form, by `forms.Form.name`.
        turns: answers in all of them.
    """
    parts = []
    for name, count in forms.items():
        form = FORMS[name]
        parts.append(f"{count:,} {kind_name(form.kind, count)} {form.shown}")
    conversations = sum(count for name, count in forms.items() if FORMS[name].kind == "conversations")
    average = f", {turns / conversations:.1f} turns on average" if conversations else ""
    return " and ".join(parts) + average


def kind_name(kind: Kind, count: int) -> str:
    """What so many examples of a kind are called."""
    one = "text" if kind == "text" else kind.removesuffix("s")
    return one if count == 1 else f"{one}s"


def broken_records(count: int) -> str:
    """So many broken records, in words."""
    return f"{count:,} broken record{'s' * (count > 1)}"


def describe_dialogues(counts: Mapping[str, int], field: str) -> list[str]:
    """What the statistics of an SFT set say, a line each: forms, overlap, openings, duplicates, what was joined.

    Args:
        counts: `TokenSet.statistics`.
        field: the field that holds dialogues or answers.
    """
    test = counts["test_dialogues"]
    forms = {name.removeprefix("form_"): n for name, n in counts.items() if name.startswith("form_")}
    lines = [f"recognised: {describe_forms(forms, counts.get('turns', 0))}"] if forms else []
    if skipped := counts.get("skipped_records"):
        lines.append(f"left out: {broken_records(skipped)}")
    overlap = f"of {test:,} test dialogues {counts['overlap_exact']:,} also occur in train"
    if "overlap_opening" in counts:
        opening = f"{counts['overlap_opening']:,}, these included, open with the same human turn as a train dialogue"
        lines.append(f"{overlap}; {opening}")
    else:
        lines.append(f"{overlap}; how many open as a train dialogue can't be told")
    if shared := counts.get("validation_openings_in_test"):
        held_out = counts["validation_dialogues"]
        lines.append(
            f"of {held_out:,} validation dialogues {shared:,} open with the same human turn as a test dialogue"
        )
    unknown = {side: counts[f"{side}_openings_unknown"] for side in ("train", "test")}
    if any(unknown.values()):
        counted = " and ".join(f"{n:,} of {counts[f'{side}_dialogues']:,} {side}" for side, n in unknown.items())
        lines.append(
            f"no human turn is recognised in {counted} dialogues; they are held out and compared by their whole text"
        )
    copies = [f"{counts[f'{side}_duplicates']:,} {side}" for side in SIDES if counts.get(f"{side}_duplicates")]
    if copies:
        lines.append(f"duplicates, copies beyond the first: {' and '.join(copies)} dialogues")
    if joined := counts.get("joined_dialogues"):
        lines.append(f"{joined:,} dialogues were joined from 'prompt' and {field!r}")
    if framed := counts.get("framed_dialogues"):
        frame = f"\\n\\nHuman: PROMPT\\n\\nAssistant: {field.upper()}"
        lines.append(f"{framed:,} plain pairs of 'prompt' and {field!r} were framed as dialogues: {frame}")
    return lines


SIDES = ("train", "validation", "test")


def _names(sources: Sequence[str]) -> str:
    return " and ".join(map(shown_name, sources))
