"""What a user is told, in one line that keeps its words."""

from basis.errors import MOST_LETTERS, UserError


def test_of_a_message_with_long_paths_the_words_stay_whole() -> None:
    folder = "/".join(["", *["a-long-name-of-a-folder"] * 12, "experiment"])
    told = str(
        UserError(f"{folder}/sweep.json: is not as a sweep leaves it; mend it with: sft-sweep --resume {folder}")
    )
    assert told == (
        ".../experiment/sweep.json: is not as a sweep leaves it; mend it with: sft-sweep --resume "
        ".../a-long-name-of-a-folder/experiment"
    )


def test_a_command_is_left_whole_as_long_as_the_message_is_short_enough_without_the_paths_before_it() -> None:
    folder = "/".join(["", *["a-long-name-of-a-folder"] * 7, "experiment"])
    told = str(UserError(f"{folder}/sweep.json: is damaged; mend it with: sft-sweep --resume {folder}"))
    assert told == f".../experiment/sweep.json: is damaged; mend it with: sft-sweep --resume {folder}"


def test_words_without_end_are_cut_in_their_middle() -> None:
    assert len(str(UserError("word " * 1000))) == MOST_LETTERS
