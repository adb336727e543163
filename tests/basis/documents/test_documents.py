"""JSON documents: what their numbers may be, that their page and schema are not stale, and that both take them."""

import io
import json
import math

import jsonschema
import pytest
from pydantic import ValidationError

from basis.documents.documents import DOCUMENTS, ErrorDocument, json_schema, print_document, to_line
from basis.documents.part import IntervalPart, iso_time, plain
from basis.documents.progress import CountsPart, EndDocument
from basis.documents.reference import files
from basis.packages import ROOT

END = EndDocument(
    directory="a b",
    counts=CountsPart(waiting=0, running=0, finished=1, failed=0, stopped=0),
    exit_code=0,
    go_on="sft-sweep run",
)


def test_page_and_schema_are_those_of_the_models() -> None:
    for name, text in files().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, "python -m basis.documents.reference docs"


def test_a_number_that_json_has_not_is_null() -> None:
    interval = IntervalPart(estimate=0.5, low=math.nan, high=math.inf)
    assert interval.model_dump() == {"estimate": 0.5, "low": None, "high": None}
    assert plain({"a": (1, math.nan), 2: [-math.inf]}) == {"a": [1, None], "2": [None]}


def test_times_are_iso_8601_in_utc() -> None:
    assert iso_time(0.25) == "1970-01-01T00:00:00.250+00:00"
    assert iso_time(None) is None


def test_a_document_is_one_line_that_reads_back_and_fits_the_schema() -> None:
    for document in (END, ErrorDocument(error="first\nsecond", exit_code=2)):
        line = to_line(document)
        assert "\n" not in line
        assert DOCUMENTS.validate_json(line) == document
        jsonschema.validate(json.loads(line), json_schema())


def test_readers_are_held_to_known_keys_by_nothing_and_we_ourselves_are() -> None:
    later = {**json.loads(to_line(END)), "of_a_later_release": 1}
    jsonschema.validate(later, json_schema())
    with pytest.raises(ValidationError):
        DOCUMENTS.validate_python(later)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**later, "exit_code": "0"}, json_schema())


def test_a_document_is_printed_at_once() -> None:
    stream = io.StringIO()
    print_document(END, stream)
    assert stream.getvalue() == to_line(END) + "\n"
