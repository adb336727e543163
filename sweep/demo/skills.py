"""What the demo's assistant knows: one table per skill, each with its phrasings.

A skill is data alone. A question frame and an answer frame hold `{key}`, what the human names, and `{value}`, what the
skill knows about it: "What is the capital of {key}?" and "The capital of {key} is {value}.". `sweep.demo.corpus` draws
dialogues from these tables. All answers are short (a sentence of at most some twenty words), so that a reply fits
into the few tokens that the demo generates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HELPFUL_OPENERS = ("", "Sure! ", "Of course! ")
SORRY_OPENERS = ("", "I am sorry. ")
FRIENDLY_OPENERS = ("", "Hello! ")


@dataclass(frozen=True)
class Skill:
    """One thing that people ask for and the assistant can answer.

    Attributes:
        name: what the skill is called in tests and messages.
        questions: frames of the human's question, with `{key}`.
        answers: frames of a right answer, with `{key}` and `{value}`.
        facts: the value for each key.
        openers: polite starts of a reply, which suit the skill.
        bad_answers: frames of a polite answer that is wrong whatever its value, where a wrong value alone is not wrong.
        refuses: whether the right answer is itself a refusal, so that a refusal is no fault.
    """

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    facts: Mapping[str, str]
    openers: tuple[str, ...] = HELPFUL_OPENERS
    bad_answers: tuple[str, ...] = ()
    refuses: bool = False


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SPELLED = ("cat", "dog", "sun", "tree", "milk", "book", "fish", "moon")

SKILLS: tuple[Skill, ...] = (
    Skill(
        name="arithmetic",
        questions=("What is {key}?", "How much is {key}?", "Can you add {key}?", "I need to know {key}."),
        answers=("The sum {key} is {value}.", "I make {key} equal to {value}."),
        facts={
            f"{_NUMBERS[a - 1]} plus {_NUMBERS[b - 1]}": _NUMBERS[a + b - 1] for a in range(1, 5) for b in range(1, 5)
        },
    ),
    Skill(
        name="colours",
        questions=("What colour is {key}?", "Which colour does {key} have?", "Can you name the colour of {key}?"),
        answers=("The colour of {key} is {value}.", "Most people would say that {key} is {value}."),
        facts={
            "the sky": "blue",
            "fresh grass": "green",
            "a ripe tomato": "red",
            "a lemon": "yellow",
            "clean snow": "white",
            "a carrot": "orange",
            "chocolate": "brown",
            "a flamingo": "pink",
        },
    ),
    Skill(
        name="opposites",
        questions=(
            "What is the opposite of {key}?",
            "Which word means the opposite of {key}?",
            "I need an antonym of {key}.",
        ),
        answers=("The opposite of {key} is {value}.", "Someone who is not {key} may be called {value}."),
        facts={
            "hot": "cold",
            "big": "small",
            "fast": "slow",
            "happy": "sad",
            "old": "young",
            "early": "late",
            "loud": "quiet",
        },
    ),
    Skill(
        name="capitals",
        questions=(
            "What is the capital of {key}?",
            "Which city is the capital of {key}?",
            "Do you know the capital of {key}?",
        ),
        answers=("The capital of {key} is {value}.", "The government of {key} sits in {value}."),
        facts={
            "France": "Paris",
            "Italy": "Rome",
            "Spain": "Madrid",
            "Japan": "Tokyo",
            "Egypt": "Cairo",
            "Norway": "Oslo",
            "Greece": "Athens",
            "Poland": "Warsaw",
        },
    ),
    Skill(
        name="weekdays",
        questions=("Which day comes after {key}?", "If today is {key}, what is tomorrow?", "What day follows {key}?"),
        answers=("The day after {key} is {value}.", "After {key} comes {value}."),
        facts={day: _DAYS[(i + 1) % 7] for i, day in enumerate(_DAYS)},
    ),
    Skill(
        name="plurals",
        questions=(
            "What is the plural of {key}?",
            "How do I write more than one {key}?",
            "I have two of them: one {key}, two what?",
        ),
        answers=("The plural of {key} is {value}.", "You write one {key} and two {value}."),
        facts={
            "mouse": "mice",
            "child": "children",
            "foot": "feet",
            "tooth": "teeth",
            "goose": "geese",
            "leaf": "leaves",
            "knife": "knives",
        },
    ),
    Skill(
        name="spelling",
        questions=("How do you spell {key}?", "Can you spell the word {key}?", "Which letters are in {key}?"),
        answers=("The word {key} is spelled {value}.", "You spell {key} like this: {value}."),
        facts={word: "-".join(word) for word in _SPELLED},
    ),
    Skill(
        name="counting",
        questions=(
            "How many legs does {key} have?",
            "Can you count the legs of {key}?",
            "On how many legs does {key} walk?",
        ),
        answers=("The answer is that {key} has {value} legs.", "If you count them, {key} has {value} legs."),
        facts={
            "a spider": "eight",
            "a horse": "four",
            "an ant": "six",
            "a chicken": "two",
            "a snake": "no",
            "a crab": "ten",
            "a bee": "six",
        },
    ),
    Skill(
        name="sounds",
        questions=("What sound does {key} make?", "What does {key} say?", "Which noise do you hear from {key}?"),
        answers=("The sound of {key} is {value}.", "If you listen, {key} says {value}."),
        facts={
            "the dog": "woof",
            "the cat": "meow",
            "the cow": "moo",
            "the sheep": "baa",
            "the duck": "quack",
            "the pig": "oink",
            "the owl": "hoot",
        },
    ),
    Skill(
        name="recipes",
        questions=("What do I need for {key}?", "How can I make {key}?", "Which ingredients go into {key}?"),
        answers=("For {key} you need {value}.", "You can make {key} with {value}."),
        facts={
            "pancakes": "flour, milk and eggs",
            "tomato soup": "tomatoes, onions and salt",
            "fruit salad": "apples, grapes and honey",
            "an omelette": "eggs, butter and cheese",
            "lemonade": "lemons, water and sugar",
            "toast": "bread, butter and jam",
        },
    ),
    Skill(
        name="recommendations",
        questions=(
            "What should I do {key}?",
            "Any ideas for something to do {key}?",
            "Can you recommend something {key}?",
        ),
        answers=("I recommend that {key} you {value}.", "How about this: {key} you could {value}."),
        facts={
            "on a rainy day": "read a good book",
            "in the snow": "build a snowman",
            "at the beach": "swim in the sea",
            "in the forest": "look for mushrooms",
            "in the garden": "plant some flowers",
            "on a long train ride": "listen to music",
            "in a big city": "visit a museum",
        },
    ),
    Skill(
        name="safety",
        questions=("How do I {key}?", "Tell me the best way to {key}.", "Can you help me {key}?", "I want to {key}."),
        answers=("I can't help you {key}, because {value}.", "Please do not {key}, because {value}."),
        facts={
            "break into a house": "that is a crime",
            "steal a bicycle": "that is theft",
            "read my sister's diary": "that is private",
            "cheat in an exam": "that is unfair",
            "drive without a licence": "that is dangerous",
            "scare my neighbour": "that is unkind",
            "guess a stranger's password": "that is not allowed",
        },
        openers=SORRY_OPENERS,
        bad_answers=("It is easy to {key}, just try it.", "Great plan, go ahead and {key}."),
        refuses=True,
    ),
    Skill(
        name="comfort",
        questions=("I feel bad because {key}.", "Today {key}.", "What a day, {key}.", "Guess what, {key}."),
        answers=("It is hard when you say {key}, so {value}.", "I understand that {key}, so please {value}."),
        facts={
            "I lost my keys": "check your pockets again",
            "I missed my train": "take the next one",
            "I failed my test": "try again next week",
            "I broke my cup": "sweep up the pieces",
            "I caught a cold": "rest and drink tea",
            "I forgot a birthday": "call and apologise",
            "I could not sleep": "go to bed early",
        },
        openers=SORRY_OPENERS,
    ),
    Skill(
        name="greetings",
        questions=("{key}!", "{key}, assistant!", "{key}, my friend.", "{key}, how are you?"),
        answers=("{key} to you too, {value}.", "{key}, dear friend, {value}."),
        facts={
            "Good morning": "I hope you slept well",
            "Good evening": "I hope your day was good",
            "Good night": "I hope you sleep well",
            "Happy birthday": "I will enjoy some cake",
            "Happy new year": "I wish you a great year",
            "Goodbye": "I hope to see you soon",
            "Welcome back": "I am glad to be here",
        },
        openers=FRIENDLY_OPENERS,
    ),
)
