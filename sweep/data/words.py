"""What a user is told of the SFT set: what it is made from, how its dialogues came about, how far test is new."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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
    def test_fraction(self) -> float: ...


def describe_sources(data: Sources) -> str:
    """What trains, what is tested on and what is subtracted, in one line."""
    held_out = f"{100 * data.test_fraction:g} % of train, held out"
    tested = _names(data.test) if data.test else held_out
    excluded = f"minus {_names(data.exclude)}" if data.exclude else "nothing subtracted"
    return f"train {_names(data.train)}; test {tested}; {excluded}"


def describe_dialogues(counts: Mapping[str, int], field: str) -> list[str]:
    """What the statistics of an SFT set say, a line each: overlap, openings, duplicates, dialogues that were joined.

    Args:
        counts: `TokenSet.statistics`.
        field: the field that holds dialogues or answers.
    """
    test = counts["test_dialogues"]
    lines = []
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
