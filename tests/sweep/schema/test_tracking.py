"""A spec names trackers and a URL, and nothing that is written or said has the URL."""

import pytest

from basis.errors import UserError
from sweep.cluster.privacy import is_needed
from sweep.provenance.sweep_record import spec_text
from sweep.requests import RunSweep, parse_request
from sweep.schema.tracking import NOTIFY_VARIABLE, notify_url
from sweep.spec_file.load import load_plan

URL = "https://hooks.example/services/sEcret?a=b&c"


def test_one_tracker_is_a_list_of_one() -> None:
    assert load_plan("demo", ("track=wandb",)).spec.track == ("wandb",)
    assert load_plan("demo", ("track=[]",)).spec.track == ()
    assert load_plan("demo", ()).spec.track == ("tensorboard",)
    with pytest.raises(UserError, match="did you mean 'mlflow'"):
        load_plan("demo", ("track=[mlfow]",))


def test_a_url_is_kept_as_the_name_of_a_variable() -> None:
    spec = load_plan("demo", (f"notify={URL}",)).spec
    assert notify_url(spec.notify) == URL
    assert f"notify: ${NOTIFY_VARIABLE}\n" in spec_text(spec)
    assert "sEcret" not in spec_text(spec)
    request = parse_request(["demo", "--set", f"notify={URL}"])
    assert isinstance(request, RunSweep)
    assert "sEcret" not in request.command
    assert not is_needed(NOTIFY_VARIABLE, URL)


def test_a_variable_is_read_when_the_sweep_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_plan("demo", ("notify=$MY_HOOK",)).spec
    assert "notify: $MY_HOOK\n" in spec_text(spec)
    monkeypatch.delenv("MY_HOOK", raising=False)
    with pytest.raises(UserError, match=r"\$MY_HOOK is not set"):
        notify_url(spec.notify)
    monkeypatch.setenv("MY_HOOK", URL)
    assert notify_url(spec.notify) == URL


@pytest.mark.parametrize("wrong", ["ftp://user:sEcret@host/", "sEcret", "https:///sEcret", "https://host:sEcret/", "3"])
def test_no_message_repeats_a_url_that_is_wrong(wrong: str) -> None:
    with pytest.raises(UserError, match=r"notify: .*accepted: an http or https URL") as refused:
        load_plan("demo", (f"notify={wrong}",))
    assert "sEcret" not in str(refused.value)
