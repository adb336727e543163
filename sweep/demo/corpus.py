"""The demo's dialogues: one prompt with a good and a bad last reply, drawn from the grammar in `sweep.demo.skills`.

A good reply is polite, right, and a full sentence. A bad one has one fault (see `FAULTS`). The faults cover what a
small language model does wrong when it writes by itself, such as stopping half-way or mixing up words, so that a reward
model trained on these pairs also judges generated replies sensibly. Everything follows from one seed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sweep.demo.skills import SKILLS, Skill

GREETINGS = ("", "Hi! ", "Hello! ", "Please help. ")
THANKS = ("", "", " Thanks!")
CLOSERS = ("", "", " I hope that helps!")
CURT = ("Dunno.", "No idea.", "Whatever.", "Look it up.", "So what?", "Yes.", "No.", "Hm.")
RUDE = (
    "That is a silly question.",
    "Stop bothering me with this.",
    "You should know that by now.",
    "Why would I care about that?",
    "Go and ask someone else.",
    "I have better things to do.",
)
REFUSALS = (
    "I am sorry, but I can't help with that.",
    "I can't answer this question.",
    "Sorry, I am not allowed to talk about that.",
)
SHARE_OF_FOLLOW_UPS = 0.2
"""Share of two-turn dialogues among those drawn; more of those kept, since single questions repeat and are dropped."""
PAIRS_PER_PROMPT = 4


@dataclass(frozen=True)
class Exchange:
    """A human's question and the parts of a good reply to it.

    Attributes:
        skill: the skill asked for.
        key: what the question names.
        question: the human's words.
        frame: how the answer is phrased, with `{key}` and `{value}`.
        opener: polite words before the answer, or none.
        closer: polite words behind the answer, or none.
    """

    skill: Skill
    key: str
    question: str
    frame: str
    opener: str
    closer: str

    @property
    def value(self) -> str:
        """What the skill knows about the key."""
        return self.skill.facts[self.key]

    @property
    def right_answer(self) -> str:
        """The right answer as a bare sentence."""
        return self.frame.format(key=self.key, value=self.value)

    @property
    def good_reply(self) -> str:
        """The right answer in its polite wrapping."""
        return self.polite(self.right_answer)

    def polite(self, sentence: str) -> str:
        """Wrap another sentence the way the right answer is wrapped."""
        return self.opener + capitalised(sentence) + self.closer


@dataclass(frozen=True)
class Dialogue:
    """A prompt with a good and a bad last reply.

    Attributes:
        skill: name of the skill that the last question asks for.
        fault: name of what is wrong with the rejected reply, a key of `FAULTS`.
        prompt: everything up to and including the last "Assistant:".
        question: the last human turn alone.
        good: the good reply, without leading space.
        bad: the bad reply, without leading space.
    """

    skill: str
    fault: str
    prompt: str
    question: str
    good: str
    bad: str

    @property
    def chosen(self) -> str:
        """The whole dialogue with the good reply, as in HH-RLHF's field of that name."""
        return f"{self.prompt} {self.good}"

    @property
    def rejected(self) -> str:
        """The whole dialogue with the bad reply, as in HH-RLHF's field of that name."""
        return f"{self.prompt} {self.bad}"


@dataclass(frozen=True)
class Corpus:
    """Dialogues to train on, dialogues to test on, and questions to ask a model after training.

    Attributes:
        train: dialogues for training.
        test: dialogues whose prompts are not among those of `train`.
        prompts: questions that no dialogue of `train` or `test` contains.
        unseen: pairs of replies to these questions, by which a reward model can be judged.
    """

    train: list[Dialogue]
    test: list[Dialogue]
    prompts: list[str]
    unseen: list[Dialogue]


def capitalised(sentence: str) -> str:
    """`sentence` with a capital first letter and all else as it was."""
    return sentence[:1].upper() + sentence[1:]


def draw_exchange(rng: random.Random, skill: Skill) -> Exchange:
    """Draw one question for `skill` and the parts of a good reply."""
    key = rng.choice(list(skill.facts))
    question = capitalised(rng.choice(skill.questions).format(key=key))
    return Exchange(
        skill=skill,
        key=key,
        question=rng.choice(GREETINGS) + question + rng.choice(THANKS),
        frame=rng.choice(skill.answers),
        opener=rng.choice(skill.openers),
        closer=rng.choice(CLOSERS),
    )


def _wrong(rng: random.Random, exchange: Exchange) -> str:
    """A polite sentence that answers the question wrongly, or answers the same question about something else."""
    skill = exchange.skill
    if skill.bad_answers:
        return exchange.polite(rng.choice(skill.bad_answers).format(key=exchange.key))
    other = rng.choice([key for key, value in skill.facts.items() if value != exchange.value])
    key = exchange.key if rng.random() < 0.5 else other
    return exchange.polite(exchange.frame.format(key=key, value=skill.facts[other]))


def _curt(rng: random.Random, exchange: Exchange) -> str:
    """A word or two, perhaps the bare value."""
    return capitalised(exchange.value) + "." if rng.random() < 0.3 else rng.choice(CURT)


def _rude(rng: random.Random, exchange: Exchange) -> str:
    """Unfriendly words instead of an answer, or behind it."""
    remark = rng.choice(RUDE)
    return remark if rng.random() < 0.7 else f"{capitalised(exchange.right_answer)} {remark}"


def _off_topic(rng: random.Random, exchange: Exchange) -> str:
    """A good reply to a question for another skill."""
    return draw_exchange(rng, rng.choice([skill for skill in SKILLS if skill is not exchange.skill])).good_reply


def _needless_refusal(rng: random.Random, exchange: Exchange) -> str:
    """A refusal of a harmless question."""
    return rng.choice(REFUSALS)


def _repetition(rng: random.Random, exchange: Exchange) -> str:
    """The start of the right answer, caught in a loop."""
    words = capitalised(exchange.right_answer).split()
    start = rng.randrange(len(words) - 1)
    loop = words[start : start + rng.randint(1, 3)]
    return exchange.opener + " ".join(words[:start] + loop * rng.randint(3, 4)) + "."


def _garbled(rng: random.Random, exchange: Exchange) -> str:
    """The right answer with its words shuffled, or some of them replaced by words from elsewhere."""
    words = capitalised(exchange.right_answer).split()
    garbled = list(words)
    while garbled == words:
        if rng.random() < 0.5:
            rng.shuffle(garbled)
        else:
            foreign = draw_exchange(rng, rng.choice(SKILLS)).right_answer.split()
            for i in rng.sample(range(len(words)), 2):
                garbled[i] = rng.choice(foreign)
    return exchange.opener + " ".join(garbled) + exchange.closer


def _cut_off(rng: random.Random, exchange: Exchange) -> str:
    """The start of the right answer, without its end."""
    words = capitalised(exchange.right_answer).split()
    return exchange.opener + " ".join(words[: rng.randint(1, len(words) - 1)])


FAULTS: dict[str, Callable[[random.Random, Exchange], str]] = {
    "wrong": _wrong,
    "curt": _curt,
    "rude": _rude,
    "off topic": _off_topic,
    "needless refusal": _needless_refusal,
    "repetition": _repetition,
    "garbled": _garbled,
    "cut off": _cut_off,
}
KNOWLEDGE_FAULTS = ("wrong", "off topic")
"""The faults in `FAULTS` that no one can see without the question."""

_FAULT_WEIGHTS = {"wrong": 2.0, "curt": 3.0, "rude": 3.0, "needless refusal": 3.0}


def draw_dialogue(rng: random.Random) -> Dialogue:
    """Draw a dialogue of one or two questions; the reply before a second question is always good."""
    exchange = draw_exchange(rng, rng.choice(SKILLS))
    context = ""
    if rng.random() < SHARE_OF_FOLLOW_UPS:
        earlier = draw_exchange(rng, rng.choice(SKILLS))
        context = f"\n\nHuman: {earlier.question}\n\nAssistant: {earlier.good_reply}"
    return _with_replies(rng, exchange, context)


def _with_replies(rng: random.Random, exchange: Exchange, context: str) -> Dialogue:
    """The dialogue that ends in this exchange, with a fault drawn for its bad reply."""
    faults = [fault for fault in FAULTS if fault != "needless refusal" or not exchange.skill.refuses]
    [fault] = rng.choices(faults, weights=[_FAULT_WEIGHTS.get(fault, 1.0) for fault in faults])
    return Dialogue(
        skill=exchange.skill.name,
        fault=fault,
        prompt=f"{context}\n\nHuman: {exchange.question}\n\nAssistant:",
        question=exchange.question,
        good=exchange.good_reply,
        bad=FAULTS[fault](rng, exchange),
    )


def draw_questions(rng: random.Random, count: int) -> list[Exchange]:
    """Draw exchanges with `count` different questions, spread evenly over the skills."""
    drawn: dict[str, Exchange] = {}
    while len(drawn) < count:
        exchange = draw_exchange(rng, SKILLS[len(drawn) % len(SKILLS)])
        drawn[exchange.question] = exchange
    return list(drawn.values())


def make_corpus(seed: int, train: int, test: int, prompts: int) -> Corpus:
    """Draw a whole corpus.

    Args:
        seed: the same seed and counts give the same corpus.
        train: number of dialogues to train on.
        test: number of dialogues to test on.
        prompts: number of evaluation questions.

    Returns:
        The corpus, in which no two dialogues have the same prompt and no dialogue contains an evaluation question.
    """
    rng = random.Random(seed)
    unseen = draw_questions(rng, prompts)
    turns = [f"Human: {exchange.question}\n" for exchange in unseen]
    dialogues: dict[str, Dialogue] = {}
    while len(dialogues) < train + test:
        dialogue = draw_dialogue(rng)
        if not any(turn in dialogue.prompt for turn in turns):
            dialogues.setdefault(dialogue.prompt, dialogue)
    drawn = list(dialogues.values())
    rng.shuffle(drawn)  # single questions run out before follow-ups do: what is drawn late is not like what is early
    return Corpus(
        train=drawn[:train],
        test=drawn[train:],
        prompts=[exchange.question for exchange in unseen],
        unseen=[_with_replies(rng, exchange, context="") for exchange in unseen for _ in range(PAIRS_PER_PROMPT)],
    )
