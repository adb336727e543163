"""What has to be said below a comparison table: how to read its numbers, and what of them does not compare."""

from analysis.comparison.arms import Arm
from analysis.comparison.base_models import base_model, base_values
from analysis.comparison.fields import windows
from analysis.results.company import RAN_ALONE
from analysis.tables.columns import BEST_LOSS, FORGETTING, FORGETTING_LETTERS, MORE_RIGHT, RIGHT_ANSWERS
from analysis.wording.numbers import show_number
from analysis.wording.phrases import count, join
from basis.metrics import PEAK_SOURCE

LOSS_NOTE = (
    "Test loss is the last one reported, over the fixed test windows; train loss is the mean since the report before."
)

BY_TEXT_NOTE = (
    "The models of these rows have different tokenizers, so their test losses are compared in bits per byte of text. "
    "Train losses are in nats per token of each model's own tokenizer, and compare within one model alone."
)
NO_BYTES_NOTE = "Without a test loss in bits per byte, for their trials did not count bytes: {arms}."
OTHER_ROWS_NOTE = (
    "Some models are tested on rows of text that differ, since a row ends after so many tokens of its tokenizer; the "
    "difference of such losses has no test. Such arms share no letter, without being told apart."
)

FORGETTING_LETTERS_NOTE = (
    "Arms of one base model that share a letter by forgetting cannot be told apart by it; the table of pairs names the "
    "test."
)
FORGETTING_NOTE = (
    "Forgetting is the last loss on general text minus that of {base}, with the 95 % interval and the p-value of a "
    "test against zero, Holm-adjusted for the arms of the table."
)


def notes_of(arms: list[Arm], headings: list[str]) -> list[str]:
    """What the numbers of a table mean.

    Args:
        arms: the arms that it shows, at least one.
        headings: of its columns; what stands in none of them has no note.

    Returns:
        Notes of a sentence or two each; LOSS_NOTE is among them.
    """
    base = base_model(arms)
    notes = [*_seed_notes(arms), LOSS_NOTE]
    if BEST_LOSS in headings:
        notes.append(
            "The best test loss is the lowest of a curve, so it is chosen on the windows that it is reported on."
        )
    if FORGETTING_LETTERS in headings:
        notes.append(FORGETTING_LETTERS_NOTE)
    if FORGETTING in headings:
        notes.append(FORGETTING_NOTE.format(base=base))
    if any(arm.tested_once for arm in arms):
        notes.append("Test windows and prompts were used once, after the last step; curves are on validation windows.")
    fields = {arm.window_values for arm in arms}
    if len(fields) > 1:
        notes.append(
            "The rows are tested on different windows, across which test losses and perplexities do not compare."
        )
    if len({windows(arm) for arm in arms}) > len(fields):
        notes.append(OTHER_ROWS_NOTE)
    if RIGHT_ANSWERS in headings:
        notes.append(_right_answers_note(arms))
    notes += _reward_notes(arms, headings, base)
    if "peak memory" in headings:
        sources = sorted({source for arm in arms if (source := arm.text(PEAK_SOURCE))})
        mixed = " Figures from different sources must not be compared." if len(sources) > 1 else ""
        notes.append(
            f"Peak memory was measured by: {', '.join(sources) or 'unknown'}. Allocations are counted, not sampled, so "
            f"it hardly varies between seeds; the largest is shown.{mixed}"
        )
    if "retained delta" in headings:
        notes.append(
            "Retained delta is bytes allocated after training minus before it; it says little about the memory needed."
        )
    if "tokens/s" in headings:
        notes.append(f"tokens/s is the median over the reports of a trial. {_shared_throughput(arms)}")
    return notes


def _seed_notes(arms: list[Arm]) -> list[str]:
    """How many seeds stand behind the losses."""
    notes = []
    if any(len(arm.seeds) > 1 for arm in arms):
        notes.append("Losses are means over the seeds, in brackets the 95 % interval of Student's t over the seeds.")
    if any(len(arm.seeds) == 1 for arm in arms):
        seeds = sorted({seed for arm in arms for seed in arm.seeds})
        finished = "one finished seed" if any(arm.shortfall for arm in arms if len(arm.seeds) == 1) else "one seed"
        which = f"{finished} ({seeds[0]})" if len(seeds) == 1 else finished
        everyone = all(len(arm.seeds) <= 1 for arm in arms)
        notes.append(
            f"{'Each arm has' if everyone else 'Some arms have'} {which}: one run cannot show how far another seed "
            "would move a loss, so such losses carry no interval."
        )
    return notes


def _reward_notes(arms: list[Arm], headings: list[str], base: str) -> list[str]:
    """What is told of rewards, wins and right answers against `base`."""
    notes = []
    if "win rate" in headings:
        notes.append(
            f"Win rate is wins / (wins + ties + losses) against {base}, in brackets the 95 % interval of Wilson "
            "over the prompts."
        )
    if "wins / ties / losses" in headings and any(len(arm.seeds) > 1 for arm in arms):
        notes.append("Wins / ties / losses are summed over the seeds.")
    if MORE_RIGHT in headings:
        notes.append(
            f"Right answers against base is the share of right answers minus that of {base}, with a 95 % t interval "
            "over the prompts."
        )
    if "reward margin" in headings:
        notes.append(f"Reward margin is the mean over prompts of reward minus that of {base}, with a 95 % t interval.")
    return notes


def without_bytes(arms: list[Arm]) -> list[str]:
    """Which arms have a test loss in nats per token alone, so that a table in bits per byte shows none."""
    without = [arm.label for arm in arms if arm.values("test_loss") and not arm.has_test_loss]
    return [NO_BYTES_NOTE.format(arms=join(without))] if without else []


def _right_answers_note(arms: list[Arm]) -> str:
    """What is right, and how often the base model is."""
    asked = max(arm.asked for arm in arms)
    base, shares = base_model(arms), base_values(arms, "reward_base_mean", lambda share: show_number(share, 2))
    return (
        f"Share of right answers is that of {count(asked, 'prompt')} whose response gives the reference's answer, in "
        f"brackets the 95 % interval of Wilson over the prompts; {base}'s is {shares}. A prompt "
        f"is won where the response is right and {base}'s is wrong."
    )


def _shared_throughput(arms: list[Arm]) -> str:
    """Whose speeds say as much of their neighbours, or where speeds compare."""
    beside = [arm.label for arm in arms if any(alone == False for alone in arm.used.known(RAN_ALONE))]  # noqa: E712
    if not beside:
        return "It compares where trials ran alone, on one kind of device."
    which = "every row" if len(beside) == len(arms) else ", ".join(beside)
    return (
        f"Throughput was shared: trials of {which} ran side by side with others on one device, so that it says as much "
        "of their neighbours."
    )
