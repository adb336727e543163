"""A model that one talks to: what was said, as the tokens that it continues, and its answer as it comes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from transformers import PreTrainedModel

from basis.errors import UserError
from model.generate import SamplingSettings, stream, uniform_draws
from sweep.chatting.text_stream import pieces
from sweep.data.openings import HH_ANSWER
from sweep.data.rendered_prompts import PLACE
from sweep.data.template import ChatTemplate
from sweep.data.tokenizer import begin_tokens
from sweep.reward_metric import NEXT_TURN, end_tokens
from sweep.schema.reward import STUDY_TEMPLATE, RewardPart


@dataclass
class Speaker:
    """One side of a chat. Equal models say equal things: a turn's draws depend on the seed and its number alone.

    Attributes:
        name: what it is called.
        model: in fp32.
        chat: the template that the sweep's data go through.
        sampling: how answers are sampled, as in the sweep; its `template` is the plain text that a prompt is put into,
            None where `chat` renders.
        turns: what was said and answered so far, the oldest first.
        dropped: how many turns the last prompt had no room for.
    """

    name: str
    model: PreTrainedModel
    chat: ChatTemplate
    sampling: RewardPart
    turns: list[tuple[str, str]] = field(default_factory=list)
    dropped: int = 0

    def answer(self, said: str, number: int) -> Iterator[str]:
        """Answer what was said, piece by piece; stripped, and cut where the model goes on with the next turn.

        Args:
            said: by the user.
            number: of this turn in the session, from 0.

        Raises:
            UserError: it alone is longer than the model's context, or the template fails on it.
        """
        prompt = self._prompt(said)
        new_tokens = min(self.sampling.new_tokens, self._context - len(prompt))
        settings = SamplingSettings(new_tokens, self.sampling.temperature, self.sampling.top_k)
        draws = uniform_draws(self.sampling.seed, number + 1, self.sampling.new_tokens)[number]
        is_plain = self.sampling.template is not None or self.chat.prompt([_user(said)]).endswith(HH_ANSWER)
        tokens = stream(self.model, prompt, draws, settings, self._ends)
        return pieces(tokens, self.chat.tokenizer, NEXT_TURN if is_plain else "")

    def keep(self, said: str, answered: str) -> None:
        """Remember a turn."""
        self.turns.append((said, answered))

    def forget(self) -> None:
        """Begin a new conversation."""
        self.turns.clear()

    @property
    def remembers(self) -> bool:
        """Whether an answer takes in earlier turns: a template of the spec's own has a place for one question alone."""
        return self.sampling.template in (None, STUDY_TEMPLATE)

    @cached_property
    def _ends(self) -> set[int]:
        tokenizer, turn_end = self.chat.tokenizer, self.chat.turn_end if self.sampling.template is None else ""
        ends = end_tokens(self.model, tokenizer)
        return ends | ({tokenizer.convert_tokens_to_ids(turn_end)} if turn_end else set())

    @property
    def _context(self) -> int:
        return int(self.model.config.max_position_embeddings)

    def _prompt(self, said: str) -> list[int]:
        """The tokens to continue; the oldest turns are dropped where they and an answer have no room."""
        turns = self.turns if self.remembers else []
        for dropped in range(len(turns) + 1):
            ids: list[int] = self.chat.tokenizer.encode(self._text(turns[dropped:], said), add_special_tokens=False)
            if len(ids) + self.sampling.new_tokens <= self._context:
                break
        self.dropped = dropped
        if len(ids) >= self._context:
            raise UserError(f"this is {len(ids):,} tokens long; {self.name} takes {self._context - 1:,} at most")
        return ids

    def _text(self, turns: list[tuple[str, str]], said: str) -> str:
        template = self.sampling.template
        if template is None:
            earlier = [part for asked, told in turns for part in (_user(asked), {"role": "assistant", "content": told})]
            return self.chat.prompt([*earlier, _user(said)])
        begin: str = self.chat.tokenizer.decode(begin_tokens(self.chat.tokenizer))
        earlier_text = "".join(f"{template.replace(PLACE, asked)} {told}" for asked, told in turns)
        return begin + earlier_text + template.replace(PLACE, said)


def _user(said: str) -> dict[str, str]:
    return {"role": "user", "content": said}


def device_of_chat() -> torch.device:
    """Where models that are talked to compute."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
