"""The figures of a page, worked out from what its report stands on."""

from collections.abc import Mapping, Sequence

from analysis.comparison.choices import chosen_by
from analysis.comparison.evidence import Evidence
from analysis.comparison.loss_metric import metric_of
from analysis.factors.pareto import Front
from analysis.figures.arm_styles import ArmStyle, arm_styles
from analysis.figures.curves import draw_curves
from analysis.figures.learning_rates import draw_learning_rates
from analysis.figures.memory import draw_memory
from analysis.figures.page_figure import PageFigure
from analysis.figures.parallel import draw_parallel
from analysis.figures.pareto import draw_pareto
from analysis.figures.wins import draw_wins
from analysis.tables.peak_memory import ArmMemory
from basis.outcomes import NOT_COMPARED


def page_figures(evidence: Evidence, fronts: Sequence[Front], memory: Sequence[ArmMemory]) -> dict[str, PageFigure]:
    """The figures of a sweep.

    Args:
        evidence: what the sweep's report stands on.
        fronts: its arms by cost and loss.
        memory: what its arms took of memory.

    Returns:
        Figures by name, in reading order; none that would be empty.
    """
    arms = evidence.arms
    styles = arm_styles(arms)
    figures = [
        _curves(evidence, styles),
        draw_learning_rates(arms, evidence.tuning_arms, chosen_by(evidence.results.spec)),
        draw_wins(arms),
        draw_pareto(fronts, styles),
        draw_memory(memory),
        draw_parallel(arms),
    ]
    return {figure.name: figure for figure in figures if figure}


def _curves(evidence: Evidence, styles: Mapping[str, ArmStyle]) -> PageFigure | None:
    shown = [arm for arm in evidence.arms if arm.outcome not in NOT_COMPARED]
    used = {trial for arm in shown for trial in arm.used["trial"]}
    rows = evidence.results.curves
    held_out = "validation_loss" if shown and all(arm.tested_once for arm in shown) else metric_of(shown)
    outcomes = {arm.label: arm.outcome for arm in shown}
    return draw_curves(rows[rows["trial"].isin(used)], styles, outcomes, held_out)
