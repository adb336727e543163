"""The figures of a page, worked out from what its report stands on."""

from analysis.comparison.evidence import Evidence
from analysis.comparison.loss_metric import metric_of
from analysis.figures.arm_styles import arm_styles
from analysis.figures.curves import draw_curves
from analysis.figures.page_figure import PageFigure
from basis.outcomes import FAILURES


def page_figures(evidence: Evidence) -> dict[str, PageFigure]:
    """The figures of a sweep.

    Args:
        evidence: what the sweep's report stands on.

    Returns:
        Figures by name, in reading order; none that would be empty.
    """
    arms = evidence.arms
    styles = arm_styles(arms)
    figures = [_curves(evidence, styles)]
    return {figure.name: figure for figure in figures if figure}


def _curves(evidence: Evidence, styles: dict) -> PageFigure | None:
    shown = [arm for arm in evidence.arms if arm.outcome not in FAILURES]
    used = {trial for arm in shown for trial in arm.used["trial"]}
    rows = evidence.results.curves
    held_out = "validation_loss" if shown and all(arm.tested_once for arm in shown) else metric_of(shown)
    outcomes = {arm.label: arm.outcome for arm in shown}
    return draw_curves(rows[rows["trial"].isin(used)], styles, outcomes, held_out)
