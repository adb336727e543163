"""A page that is served beside a sweep begins and ends with it."""

import io
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from sweep.driver.watching import watched


def test_the_page_is_there_while_the_sweep_runs_and_gone_afterwards(tmp_path: Path) -> None:
    said = io.StringIO()
    with watched("while it runs", str(tmp_path / "sweep"), Console(file=said)):
        [address] = re.findall(r"http://\S+token=\S+", said.getvalue())
        assert "ssh -N -L" in said.getvalue()
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(address) as page:
            assert page.status == 200
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(address)
    assert "killed" not in said.getvalue()
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_without_it_has_no_page(tmp_path: Path) -> None:
    said = io.StringIO()
    with watched("never", str(tmp_path), Console(file=said)):
        pass
    assert said.getvalue() == ""
