"""Which form a record has, what example it becomes, and what is said of one that is broken or foreign."""

from typing import Any

import pytest

from sweep.data.examples import Example, identity, opening
from sweep.data.forms import Reading, read_record
from sweep.data.records import BrokenRecordError

USER, ASSISTANT = {"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4."}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = (USER, ASSISTANT)
SHAREGPT = [{"from": "human", "value": "What is 2 + 2?"}, {"from": "gpt", "value": "4."}]
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "add"}}]


def read(record: object, field: str | None = None, **columns: str) -> Example:
    return read_record(record, Reading(columns, field)).example


def refusal(record: object, field: str | None = None, **columns: str) -> str:
    with pytest.raises(BrokenRecordError) as caught:
        read(record, field, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("record", "form"),
    [
        ({"messages": list(TALK), "prompt": "What is 2 + 2?", "prompt_id": "7"}, "messages"),
        ({"conversations": SHAREGPT, "id": "7"}, "conversations"),
        ({"prompt": "What is 2 + 2?", "chosen": list(TALK), "rejected": list(TALK)}, "chosen_messages"),
        ({"prompt": [USER], "chosen": [ASSISTANT], "rejected": [ASSISTANT]}, "chosen_messages"),
        (
            {"messages": '[{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4."}]'},
            "mess",
        ),
        ({"messages": [{**USER, "content": [{"type": "text", "text": "What is 2 + 2?"}]}, ASSISTANT]}, "messages"),
        ({"messages": [{**USER, "name": None}, ASSISTANT], "tools": None}, "messages"),
    ],
)
def test_conversations_are_the_same_whatever_form_they_are_read_in(record: dict[str, Any], form: str) -> None:
    read_as = read_record(record, Reading())
    assert read_as.example._replace(prompt_messages=0) == Example("conversations", messages=TALK)
    assert read_as.form.name.startswith(form)


@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("prompt", [[*TALK, USER], [USER], "What is 2 + 2?"])
def test_messages_of_a_prompt_are_told_from_those_of_its_completion(prompt: Any, system: str | None) -> None:
    read_as = read_record({"prompt": prompt, "completion": [ASSISTANT], "system": system}, Reading())
    example = read_as.example
    assert read_as.form.name == "completion_messages"
    assert example.messages[example.prompt_messages :] == (ASSISTANT,)
    assert len(example.messages) == (1 if isinstance(prompt, str) else len(prompt)) + 1 + bool(system)


@pytest.mark.parametrize(
    ("record", "form"),
    [
        ({"prompt": "Add.", "completion": "4."}, "completion"),
        ({"question": "Add.", "answer": "4."}, "answer"),
        ({"instruction": "Add.", "input": "", "output": "4.", "text": "Below is an instruction"}, "alpaca"),
        ({"instruction": "Add.", "input": None, "output": "4."}, "alpaca"),
        ({"instruction": "Add.", "output": "4."}, "alpaca"),
    ],
)
def test_pairs_are_a_users_message_and_the_assistants(record: dict[str, Any], form: str) -> None:
    pair = ({"role": "user", "content": "Add."}, {"role": "assistant", "content": "4."})
    assert read_record(record, Reading()).example == Example("pairs", messages=pair)
    assert read_record(record, Reading()).form.name == form


def test_alpacas_input_follows_its_instruction_after_a_blank_line() -> None:
    assert read({"instruction": "Add.", "input": "2 2", "output": "4."}).messages[0]["content"] == "Add.\n\n2 2"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"text": "Once."}, "Once."),
        ({"text": "Once.", "messages": None}, "Once."),
        ({"chosen": "\n\nHuman: Hi\n\nAssistant: Hey", "messages": list(TALK)}, "\n\nHuman: Hi\n\nAssistant: Hey"),
        (
            {"prompt": "\n\nHuman: Hi\n\nAssistant:", "response": "x", "chosen": " Hey"},
            "\n\nHuman: Hi\n\nAssistant: Hey",
        ),
    ],
)
def test_texts_stay_what_the_study_read(record: dict[str, Any], text: str) -> None:
    assert read(record) == Example("text", text)


def test_a_field_that_is_named_is_read_as_text_whatever_else_is_there() -> None:
    assert read({"question": "Why?", "answer": "So.", "body": "All."}, "body") == Example("text", "All.")


def test_tools_and_their_calls_come_along() -> None:
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "content": "4", "tool_call_id": "1"}
    talk = (SYSTEM, USER, calling, result, ASSISTANT)
    assert read({"messages": list(talk), "tools": TOOLS}) == Example("conversations", "", talk, tuple(TOOLS))
    assert read({"messages": list(talk), "tools": '[{"type": "function", "function": {"name": "add"}}]'}).tools
    observed = [*SHAREGPT[:1], {"from": "function_call", "value": "add"}, {"from": "observation", "value": "4"}]
    roles = [message["role"] for message in read({"system": "Be brief.", "conversations": observed}).messages]
    assert roles == ["system", "user", "assistant", "tool"]


def test_columns_give_foreign_names_ours_and_leave_no_doubt_which_form_is_meant() -> None:
    record = {"q": "Add.", "a": "4.", "text": "not this", "messages": "nor this"}
    assert read(record, prompt="q", completion="a") == read({"prompt": "Add.", "completion": "4."})
    assert read({"dialog": list(TALK)}, messages="dialog").messages == TALK
    assert read(
        {"instruction": "Add.", "context": "2 2", "response": "4."}, input="context", output="response"
    ) == read({"instruction": "Add.", "input": "2 2", "output": "4."})
    swapped = {"prompt": "4.", "completion": "Add."}
    assert read(swapped, prompt="completion", completion="prompt") == read({"prompt": "Add.", "completion": "4."})
    missing = refusal({"q": "Add."}, prompt="q", completion="a")
    assert missing == "no field 'a', which data.columns.completion names; the fields there are 'q'"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"q": "Add.", "a": "4."}, "no form is recognised by the fields 'q', 'a'; accepted: messages, conversations, "),
        ({"prompt": "Add.", "response": "4."}, ", or data.columns: {completion: response}"),
        ({"instruction": "Add.", "response": "4."}, ", or data.columns: {output: response}"),
        ({"dialog": list(TALK)}, ", or data.columns: {messages: dialog}"),
        ({"prompt": "Add.", "completion": None}, "the field 'completion' is null, but text is needed"),
        ({"prompt": "Add.", "completion": " "}, "the field 'completion' is empty, but text is needed"),
        ({"question": 3, "answer": "4."}, "the field 'question' is 3, but text is needed"),
        ({"prompt": "Add.", "completion": "\ud83d"}, "the field 'completion' has half a surrogate pair, which UTF-8"),
        ({"text": None}, "the field 'text' is null, but text is needed"),
        ({"messages": []}, "the field 'messages' is an empty list, but messages are needed"),
        ({"messages": None}, "the field 'messages' is null, but a list of messages is needed"),
        ({"messages": "hi"}, "the field 'messages' is 'hi', but a list of messages is needed"),
        ({"prompt": list(TALK), "completion": [USER]}, "'completion' has no assistant turn; its roles are user"),
        ({"messages": [USER]}, "'messages' has no assistant turn; its roles are user"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "in 'messages' every assistant turn is blank"),
        (
            {"messages": [USER, {**ASSISTANT, "tool_calls": "x"}]},
            "the tool_calls of message 2 of 'messages' are 'x', but a",
        ),
        (
            {"messages": [USER, {**ASSISTANT, "tool_calls": {"name": "f"}}]},
            "the tool_calls of message 2 of 'messages' are",
        ),
        (
            {"messages": [USER, {**ASSISTANT, "tool_calls": [{"function": "f"}]}]},
            "the function of a call of message 2 of",
        ),
        ({"messages": list(TALK), "tools": [{"description": "\ud800"}]}, "the field 'tools' has half a surrogate"),
        ({"messages": [{**USER, "name": "\ud800"}, *TALK]}, "message 1 of 'messages' has half a surrogate pair"),
        (
            {"messages": [USER, {"role": "alien", "content": "x"}]},
            "message 2 of 'messages' has the role 'alien'; accepted",
        ),
        (
            {"messages": [USER, {"role": "assistant"}]},
            "is an object with the keys 'role'; accepted: 'role' and 'content',",
        ),
        (
            {"messages": [USER, {**ASSISTANT, "content": None}]},
            "the content of message 2 of 'messages' is null, but text",
        ),
        ({"messages": [USER, {**ASSISTANT, "content": "\udc00"}]}, "message 2 of 'messages' has half a surrogate pair"),
        ({"messages": [{**USER, "content": [{"type": "image"}]}]}, "has parts of type image; accepted: text"),
        ({"messages": list(TALK), "tools": 3}, "the field 'tools' is 3, but a list of tools is needed"),
        (["Add."], "a list where a record is needed"),
    ],
)
def test_a_broken_record_is_told_by_what_was_found_and_what_is_accepted(record: object, message: str) -> None:
    assert message in refusal(record)


@pytest.mark.parametrize(
    ("record", "field", "message"),
    [
        ({"text": "a"}, "chosen", "no field 'chosen'; the fields there are 'text'"),
        ({"chosen": list(TALK)}, "chosen", "the field 'chosen' holds messages, but data.field: chosen asks for text"),
        ({"prompt": [USER], "chosen": "4."}, "chosen", "the field 'prompt' holds messages"),
        ({"talk": list(TALK)}, "talk", "leave data.field out and write data.columns: {messages: talk}"),
        (["a"], "chosen", "a list where a record with a field 'chosen' is needed"),
    ],
)
def test_a_named_field_holds_text(record: object, field: str, message: str) -> None:
    assert message in refusal(record, field)


def test_what_must_not_be_on_two_sides_is_what_the_user_says_first() -> None:
    windows = {"role": "user", "content": " What is\r\n2 + 2? "}
    unix = {"role": "user", "content": "What is\n2 + 2?"}
    one, other = (Example("conversations", messages=(SYSTEM, said, ASSISTANT)) for said in (windows, unix))
    assert opening(one) == opening(other) == "What is\n2 + 2?"
    assert identity(one) == identity(other)
    assert identity(one) != identity(other._replace(messages=(unix, ASSISTANT)))
    unasked = Example("conversations", messages=(SYSTEM, ASSISTANT))
    assert "4." in opening(unasked), "where nobody asks, all of it"
