"""The figure of curves of a running sweep, and the points that a page lacks of it."""

from typing import TYPE_CHECKING, Any

from analysis.figures.embed import items
from sweep.live.known.experiment import Experiment
from sweep.live.views.experiment_view import render

if TYPE_CHECKING:
    from analysis.figures.arm_styles import ArmStyle


def curves_part(experiment: Experiment) -> str:
    """The section with the figure; empty while there is nothing to draw, and once the report shows it."""
    if not (experiment.state.moves or experiment.is_being_analysed):
        experiment.first_curves = ""
    elif not experiment.first_curves and experiment.is_read:
        from analysis.figures.curves import NAME, draw_curves  # imports Ray

        figure = draw_curves(experiment.curves.rows(), _styles(experiment), {})
        if figure is not None:
            item = items({NAME: figure})[NAME]
            experiment.first_curves = render("live_curves", figure=figure, item=item)
    return experiment.first_curves or '<section id="live-curves" class="live"></section>'


def lacking_points(experiment: Experiment, known: int) -> dict[str, Any]:
    """What a page that knows the changes up to a number lacks: points by metric and arm, and the arms' styles."""
    metrics = experiment.curves.changed(known) if experiment.state.moves else {}
    if not metrics:
        return {}
    styles = _styles(experiment)
    arms = {arm for curves in metrics.values() for arm in curves}
    told = {
        arm: {"light": style.colours[0], "dark": style.colours[1], "dash": style.dash, "named": style.named}
        for arm, style in styles.items()
        if arm in arms
    }
    return {"metrics": metrics, "styles": told}


def _styles(experiment: Experiment) -> "dict[str, ArmStyle]":
    """The style of each arm that has started, in the order in which they did."""
    from analysis.figures.arm_styles import styles_of  # imports Ray

    started = (trial for trial in experiment.progress.trials.values() if trial.started is not None)
    return styles_of({trial.planned.label: trial.config for trial in started})
