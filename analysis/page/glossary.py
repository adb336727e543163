"""The words of the page, explained once for an engineer who has met none of them."""

from typing import NamedTuple


class Term(NamedTuple):
    """A word of the page: its anchor without "term-", the word, what it means, and headings of columns that use it."""

    anchor: str
    word: str
    meaning: str
    headings: tuple[str, ...] = ()


GLOSSARY = (
    Term(
        "arm",
        "Arm",
        "One setting that is compared, such as LoRA of rank 10 with AdamW. Its trials differ in the seed "
        "alone; its numbers are means over them.",
        ("arm", "first", "second"),
    ),
    Term(
        "trial",
        "Trial",
        "One training run: one arm with one seed.",
    ),
    Term(
        "seed",
        "Seed",
        "What the random choices of a trial start from: initial adapters, order of the data. With several "
        "seeds one sees how far luck moves a number; with one seed nobody can.",
        ("seeds", "seed"),
    ),
    Term(
        "base-model",
        "Base model",
        "The model before any training, which every arm starts from and is judged against.",
    ),
    Term(
        "test-loss",
        "Test loss",
        "How badly a model predicts text that it was not trained on: mean negative log-probability of a "
        "token, in nats. Lower is better; a difference of 0.01 makes each token about 1 % more likely.",
        ("test loss", "test loss, nats/token", "train loss, nats/token", "perplexity"),
    ),
    Term(
        "bits-per-byte",
        "Bits per byte",
        "Test loss per byte of text, not per token, so that models with different tokenizers compare.",
        ("test loss, bits/byte",),
    ),
    Term(
        "best-loss",
        "Best test loss @ step",
        "The lowest loss of an arm's curve and when it was reached. It is chosen on the windows that it is "
        "reported on, so it flatters.",
        ("best test loss @ step",),
    ),
    Term(
        "windows",
        "Windows",
        "Pieces of text of equal length. Test windows are the same for all arms, so arms are compared window "
        "by window.",
    ),
    Term(
        "vs-best",
        "vs best",
        "Test loss minus that of the best arm, over the seeds that both have. “Tied” means that no test tells the two "
        "apart, not that they are equal; “untested” that nothing could be tested.",
        ("vs best", "best arm", "letters"),
    ),
    Term(
        "wins-losses",
        "Wins – losses",
        "Of all prompts, those that the arm answered better than the base model, and those it answered worse. "
        "Ties are left out. The leaderboard counts a prompt once, by most of its seeds; tables and the figure of wins "
        "count it once for each seed. A triangle marks a surplus beyond chance.",
        ("wins – losses", "wins / ties / losses", "win rate"),
    ),
    Term(
        "win-rate",
        "Win rate",
        "Wins / (wins + ties + losses). An arm no better than its base model comes to (1 - share of ties) / "
        "2, not to one half.",
    ),
    Term(
        "reward",
        "Reward, reward margin",
        "What the reward model gives a response; the margin is that minus what it gives the base model's "
        "response to the same prompt. Where answers are checked, a right one has reward 1 and a wrong one 0.",
        ("reward margin", "share of right answers", "right answers against base"),
    ),
    Term(
        "memory",
        "Peak memory",
        "Most bytes allocated on the device at once during training. What the device must have, at least.",
        ("memory", "peak memory"),
    ),
    Term(
        "retained",
        "Retained delta",
        "Bytes allocated after training minus before it. It says little about the memory needed.",
        ("retained delta",),
    ),
    Term(
        "optimizer-state",
        "Optimizer state",
        "What the optimizer keeps for each trained number: two more numbers with AdamW, one with momentum, "
        "none with plain SGD.",
        ("optimizer state",),
    ),
    Term(
        "time",
        "Time",
        "Seconds in training steps, evaluation left out. It is shown where trials ran alone on one kind of "
        "device, since otherwise it says as much of the neighbours.",
        ("time", "tokens/s"),
    ),
    Term(
        "learning-rate",
        "Learning rate",
        "How far each step moves the weights. Arms compare fairly when each runs at a rate that suits it; a "
        "sweep with search “tuned” chooses that rate for each.",
        ("learning rate",),
    ),
    Term(
        "lora",
        "LoRA, rank",
        "Training small matrices beside frozen weights instead of the weights. Rank is their inner width: "
        "higher trains more numbers.",
        ("trainable parameters", "rank", "method"),
    ),
    Term(
        "forgetting",
        "Forgetting",
        "How far the loss on general text rose through training: what the model unlearned.",
        ("forgetting", "forgetting, nats/token", "letters by forgetting"),
    ),
    Term(
        "interval",
        "Interval [low, high]",
        "Where the true value plausibly lies: intervals made this way hold it 95 % of the time. Over seeds it "
        "tells of luck in training, over windows or prompts of luck in what was asked.",
        ("interval over",),
    ),
    Term(
        "p-value",
        "p, told apart",
        "How often chance alone would give a difference at least as large. Below 0.05 the page says that two "
        "arms are told apart, or “beyond chance”.",
        ("p", "told apart"),
    ),
    Term(
        "holm",
        "Holm, Bonferroni",
        "Of twenty tests of nothing one comes out below 0.05. These corrections raise the p-values of a "
        "family of tests, so that all its claims together are wrong at most 5 % of the time.",
    ),
    Term(
        "trust",
        "Trust",
        "How far the verdicts hold. It is as high as the gravest doubt allows, and high where the record gives no "
        "reason to doubt. The command beside a doubt would take it away.",
    ),
    Term(
        "scaling",
        "Scaling",
        "What a LoRA adapter's output is multiplied by, alpha / rank unless told otherwise. Where it changes with the "
        "rank, a difference between ranks may be one of scaling.",
    ),
    Term(
        "confound",
        "Confound",
        "Something else that differs between the arms of a table besides what it compares, so that a "
        "difference may come from it instead.",
    ),
    Term(
        "flag",
        "To be read with care",
        "A weakness in how the numbers came about: one seed, test text that was trained on, rates not tuned.",
    ),
    Term(
        "letters",
        "Letters",
        "Arms that share a letter cannot be told apart.",
    ),
    Term(
        "dominated",
        "Front, dominated",
        "An arm is dominated where another has lower loss and lower cost. Those that no other dominates are "
        "the front: the arms worth choosing from.",
        ("dominated in",),
    ),
    Term(
        "effect",
        "Effect of a factor",
        "How the loss changes when one setting alone changes, over pairs of trials that are alike in all else.",
        ("factor", "from", "to", "contexts", "pairs of trials"),
    ),
    Term(
        "share",
        "Share of variance",
        "How much of the spread of losses goes with one setting. It depends on the range that was tried.",
        ("variance of", "source", "share", "of noise alone"),
    ),
)
"""In reading order."""


def term_of(heading: str) -> Term | None:
    """The term that explains a column, by its heading."""
    return next((term for term in GLOSSARY if heading in term.headings), None)


def terms_of(headings: list[str]) -> list[Term]:
    """The terms that explain a table's columns, each once, in the order of the columns."""
    return list(dict.fromkeys(term for heading in headings if (term := term_of(heading))))
