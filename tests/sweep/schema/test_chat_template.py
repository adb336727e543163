"""A template stands in the spec, or in a file that the spec names."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sweep.schema.data import DataPart

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def test_a_template_is_kept_as_its_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(TEMPLATE)
    for given, kept in ((TEMPLATE, TEMPLATE), (str(file), TEMPLATE), ("turns", "turns")):
        assert DataPart.model_validate({"template": given}).template == kept
    assert DataPart.model_validate({}).template is None


@pytest.mark.parametrize("given", ["nowhere.jinja", "binary", "a\0b"])
def test_what_is_no_template_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ValidationError, match=r"can't be read .* accepted: a jinja template, a file with one"):
        DataPart.model_validate({"template": given})
