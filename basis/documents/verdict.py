"""`verdict`: what a sweep shows, and how far to trust it: the first screen of a report."""

from typing import Literal

from pydantic import Field

from basis.documents.part import Document, IntervalPart, Number, Part


class VerdictPart(Part):
    """One answer: which arm is best, which one costs less, which one to avoid."""

    kind: str
    title: str
    arms: list[str] = Field(description="Labels of the arms that it names; empty where none can be named.")
    headline: str
    facts: list[str] = Field(description="What speaks for it, the most telling first.")
    why: list[str] = Field(description="Sentences with tests, corrections and p-values.")


class DoubtPart(Part):
    """A reason to trust the verdicts less."""

    reason: str
    detail: str
    remedy: str = Field(description="The command that would remove it; empty where there is none.")
    level: Literal["low", "medium", "high"] = Field(description="The trust that it allows at most.")


class PlacePart(Part):
    """An arm's place."""

    rank: int | None = Field(description="1 for the lowest loss; null for an arm that did not finish.")
    arm: str
    state: str
    seeds: int = Field(description="How many finished.")
    lr: str = Field(description="Its learning rate as printed; empty where it has none.")
    loss: IntervalPart = Field(description="Mean last test loss with its interval over seeds, in the board's unit.")
    gap: IntervalPart = Field(description="Loss minus that of the best; null for the best itself.")
    differs_from_best: bool | None = Field(description="Null without a test, and for the best itself.")
    p_value: Number = Field(description="Of that test, adjusted.")
    wins: int | None = Field(description="Prompts won against the base model, over all seeds.")
    losses: int | None = Field(description="Prompts lost likewise.")
    wins_exceed_losses: bool | None = Field(description="Beyond chance; null where neither exceeds the other so.")
    peak_bytes: Number
    train_seconds: Number
    forgetting: IntervalPart = Field(description="Rise of the loss on general text, in nats per token.")


class BoardPart(Part):
    """A leaderboard of arms whose losses compare."""

    title: str
    metric: str
    unit: str
    base_loss: Number = Field(description="The base model's test loss.")
    places: list[PlacePart]


class FindingPart(Part):
    """Sentences under a short heading."""

    topic: str
    sentences: list[str]


class FilesPart(Part):
    """The files of the report."""

    html: str
    markdown: str
    trials_csv: str
    curves_csv: str


class VerdictDocument(Document):
    """The answer of `analysis.report DIR --json`, and the last line but one of `sweep.run SPEC --json`."""

    document: Literal["verdict"] = "verdict"
    verdicts: list[VerdictPart]
    trust: Literal["low", "medium", "high"]
    doubts: list[DoubtPart]
    boards: list[BoardPart]
    findings: list[FindingPart]
    files: FilesPart
