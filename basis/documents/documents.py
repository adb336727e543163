"""All documents, the one that tells an error, and how a document is printed."""

import json
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field, TypeAdapter

from basis.documents.jobs import JobDocument, JobsDocument
from basis.documents.part import Document
from basis.documents.plan import PlanDocument
from basis.documents.progress import EndDocument, ProgressDocument, StatusDocument
from basis.documents.verdict import VerdictDocument
from basis.terminal import LastingStream

JSON_FLAG = "--json"
"""The word of a command line that asks for documents."""


class ErrorDocument(Document):
    """What a command with --json says that ends without an answer."""

    document: Literal["error"] = "error"
    error: str = Field(description="What is wrong and what would be accepted; several mistakes a line each.")
    exit_code: int


AnyDocument = Annotated[
    PlanDocument
    | ProgressDocument
    | EndDocument
    | StatusDocument
    | JobDocument
    | JobsDocument
    | VerdictDocument
    | ErrorDocument,
    Field(discriminator="document"),
]
DOCUMENTS: TypeAdapter[Any] = TypeAdapter(AnyDocument)
"""Reads any document."""


def to_line(document: Document) -> str:
    """A document as a line of JSON, without what ends it."""
    return json.dumps(document.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)


def print_document(document: Document, stream: TextIO) -> None:
    """Print a document as a line, at once. A reader that has left is no reason to fail."""
    lasting = LastingStream(stream)
    lasting.write(to_line(document) + "\n")
    lasting.flush()


def json_schema() -> dict[str, Any]:
    """JSON Schema of all documents. It takes keys that a later release may add, which our own models refuse."""
    schema: dict[str, Any] = DOCUMENTS.json_schema(mode="serialization")
    for part in schema["$defs"].values():
        part.pop("additionalProperties", None)
    return schema
