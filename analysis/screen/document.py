"""The first screen and the findings, as parts of a JSON document."""

from analysis.statistics.intervals import Interval
from analysis.verdict.summary import Board, Doubt, Place, Verdict
from basis.documents.part import IntervalPart
from basis.documents.verdict import BoardPart, DoubtPart, PlacePart, VerdictPart


def verdict_part(verdict: Verdict) -> VerdictPart:
    """One answer of the first screen."""
    return VerdictPart(
        kind=verdict.kind,
        title=verdict.title,
        arms=list(verdict.arms),
        headline=verdict.headline,
        facts=list(verdict.facts),
        why=list(verdict.why),
    )


def doubt_part(doubt: Doubt) -> DoubtPart:
    """A reason to trust the verdicts less."""
    return DoubtPart(reason=doubt.reason, detail=doubt.detail, remedy=doubt.remedy, level=doubt.level)


def board_part(board: Board) -> BoardPart:
    """A leaderboard."""
    return BoardPart(
        title=board.title,
        metric=board.metric,
        unit=board.unit,
        base_loss=board.base_loss,
        places=[_place(place) for place in board.places],
    )


def _place(place: Place) -> PlacePart:
    return PlacePart(
        rank=place.rank,
        arm=place.label,
        state=str(place.state),
        seeds=place.seeds,
        lr=place.lr,
        loss=_interval(place.loss),
        gap=_interval(place.gap),
        differs_from_best=place.differs,
        p_value=place.p_value,
        wins=place.wins,
        losses=place.losses,
        wins_exceed_losses=place.won,
        peak_bytes=place.peak_bytes,
        train_seconds=place.train_seconds,
        forgetting=_interval(place.forgetting),
    )


def _interval(interval: Interval) -> IntervalPart:
    return IntervalPart(estimate=interval.estimate, low=interval.low, high=interval.high)
