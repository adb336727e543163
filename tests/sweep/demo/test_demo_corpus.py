"""The demo's dialogues: what a sweep, its test loss and its win rates rely on."""

import random

import pytest

from sweep.demo.corpus import FAULTS, Dialogue, draw_dialogue, make_corpus
from sweep.demo.sizes import DemoSizes
from sweep.demo.skills import SKILLS

CORPUS = make_corpus(seed=0, train=3000, test=200, prompts=100)


def test_same_seed_same_corpus_and_another_seed_another() -> None:
    again = make_corpus(seed=0, train=3000, test=200, prompts=100)
    other = make_corpus(seed=1, train=3000, test=200, prompts=100)
    assert again == CORPUS
    assert other != CORPUS


def test_thousands_of_dialogues_use_every_skill_and_every_fault() -> None:
    assert len(SKILLS) >= 10
    assert {dialogue.skill for dialogue in CORPUS.train} == {skill.name for skill in SKILLS}
    assert {dialogue.fault for dialogue in CORPUS.train} == set(FAULTS)
    assert len({dialogue.prompt for dialogue in CORPUS.train}) == 3000


def test_chosen_and_rejected_differ_in_the_last_reply_alone() -> None:
    for dialogue in CORPUS.train:
        assert dialogue.chosen.startswith("\n\nHuman: ")
        shared, good = dialogue.chosen.rsplit("\n\nAssistant: ", 1)
        also_shared, bad = dialogue.rejected.rsplit("\n\nAssistant: ", 1)
        assert shared == also_shared
        assert shared.endswith(f"\n\nHuman: {dialogue.question}")
        assert (good, bad) == (dialogue.good, dialogue.bad)
        assert good != bad


def test_some_dialogues_have_several_turns() -> None:
    turns = {dialogue.chosen.count("\n\nHuman: ") for dialogue in CORPUS.train}
    assert turns == {1, 2}


def test_test_dialogues_are_drawn_like_those_of_train_at_the_demos_own_size() -> None:
    sizes = DemoSizes()
    corpus = make_corpus(sizes.seed, sizes.train, sizes.test, sizes.prompts)

    def share_of_two_turns(dialogues: list[Dialogue]) -> float:
        return sum(d.chosen.count("\n\nHuman: ") == 2 for d in dialogues) / len(dialogues)

    error = 4 * (0.25 / sizes.test) ** 0.5  # four standard errors, at most
    assert share_of_two_turns(corpus.test) == pytest.approx(share_of_two_turns(corpus.train), abs=error)


def test_pairs_on_evaluation_questions_are_there_to_judge_a_reward_model_by() -> None:
    assert {pair.question for pair in CORPUS.unseen} == set(CORPUS.prompts)
    assert len(CORPUS.unseen) == 4 * len(CORPUS.prompts)
    assert {pair.fault for pair in CORPUS.unseen} == set(FAULTS)


def test_every_good_reply_is_a_full_sentence_that_holds_what_the_skill_knows() -> None:
    facts = {skill.name: skill.facts for skill in SKILLS}
    for dialogue in CORPUS.train:
        known = facts[dialogue.skill]
        assert dialogue.good[0].isupper()
        assert dialogue.good[-1] in ".!"
        good, question = dialogue.good.lower(), dialogue.question.lower()
        assert any(key.lower() in question and value.lower() in good for key, value in known.items())


def test_a_refusal_is_no_fault_where_refusing_is_right() -> None:
    rng = random.Random(0)
    faults_of_safety = {d.fault for d in (draw_dialogue(rng) for _ in range(4000)) if d.skill == "safety"}
    assert faults_of_safety == set(FAULTS) - {"needless refusal"}


def test_test_dialogues_are_not_in_train() -> None:
    train = {dialogue.prompt for dialogue in CORPUS.train}
    assert len(CORPUS.test) == 200
    assert not any(dialogue.prompt in train for dialogue in CORPUS.test)


def test_no_dialogue_contains_an_evaluation_question() -> None:
    asked = {
        turn.split("\n\nAssistant:")[0]
        for dialogue in CORPUS.train + CORPUS.test
        for turn in dialogue.prompt.split("\n\nHuman: ")
    }
    assert len(set(CORPUS.prompts)) == 100
    assert not asked & set(CORPUS.prompts)
