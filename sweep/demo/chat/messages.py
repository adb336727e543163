"""The demo's dialogues as messages, and the ChatML template by which a model reads them."""

from sweep.demo.corpus import Dialogue

Message = dict[str, str]
"""A turn as OpenAI's messages have it: its `role`, "user" or "assistant", and its `content`."""

START, END = "<|im_start|>", "<|im_end|>"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML as a Jinja template: what SmolLM2-Instruct has, but for its system message."""


def messages_of(dialogue: Dialogue, reply: str) -> list[Message]:
    """A dialogue, with `reply` to its last question, as messages."""
    messages: list[Message] = []
    for turn in f"{dialogue.prompt} {reply}".split("\n\nHuman: ")[1:]:
        question, answer = turn.split("\n\nAssistant: ")
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages
