"""analysis.report: one directory in, one page, Markdown and CSV out, each number traceable."""

import io
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console

from analysis import report
from analysis.comparison.grouping import group_arms
from analysis.drawings.arm_styles import arm_styles
from analysis.drawings.losses import draw_losses
from analysis.drawings.win_rates import draw_win_rates
from analysis.published.study import comparability, compare_published
from analysis.screen.screen import print_summary
from analysis.tables.comparison_table import build_tables
from analysis.verdict.summary import Doubt, Level, Trust
from tests import synthetic_experiment as synthetic


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(synthetic.directory(), tmp_path_factory.mktemp("report") / "study"))


@pytest.fixture(scope="module")
def built(experiment: Path) -> report.Report:
    return report.build(experiment)


@pytest.fixture(scope="module")
def page(built: report.Report) -> str:
    return built.html.read_text()


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a\0b", "n" * 300, "loop"])
def test_a_name_that_leads_nowhere_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert report.main([name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


class Outline(HTMLParser):
    """Open tags, ids and addresses of a page; raises on a tag closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_loads_nothing_from_elsewhere(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert outline.links
    assert all(link.startswith("#") for link in outline.links)
    assert not outline.tags & {"link", "img", "iframe"}
    style = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # what scripts may load, the policy says
    assert not re.search(r"@import|url\((?!#)", style)
    assert "default-src 'none'" in page


def test_every_link_of_the_page_has_its_target_and_ids_are_unique(page: str) -> None:
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links} <= set(outline.ids)


def test_responses_reasons_and_spec_are_escaped(page: str) -> None:
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; more" in page
    assert "no factor to adapt &lt;at all&gt;" in page
    assert "optimizers &lt;compared&gt;" in page


def test_markdown_takes_no_text_for_markup(built: report.Report) -> None:
    assert "optimizers \\<compared\\>" in built.markdown.read_text()


def test_losses_memory_and_wins_of_every_row_are_those_of_its_result_json(
    built: report.Report, experiment: Path
) -> None:
    checked = 0
    for table in built.tables:
        for arm, (trial,) in table.trace:
            last = json.loads((experiment / trial / "result.json").read_text().splitlines()[-1])
            row = table.frame.set_index("arm").loc[arm]
            if last.get("wins") is not None:
                assert row["test loss, nats/token"] == f"{last['test_loss']:.4f}"
                assert row["train loss, nats/token"] == f"{last['train_loss']:.4f}"
                assert row["peak memory"] == f"{last['peak_bytes'] / 2**30:.2f} GiB"
                assert row["win rate"].startswith(f"{last['win_rate']:.2f} [")
                checked += 1
    assert checked == 1 + 4 + 4


def test_page_and_markdown_hold_every_cell_of_every_table(built: report.Report, page: str) -> None:
    markdown = built.markdown.read_text().replace("\\", "")
    for table in built.tables:
        for cell in table.frame.to_numpy().flatten():
            assert f">{cell}</t" in page
            assert f"| {cell} " in re.sub(r" +", " ", markdown)


def test_failed_trials_come_with_their_reasons(built: report.Report, page: str) -> None:
    assert "ValueError: no factor to adapt <at all>" in built.markdown.read_text().replace("\\", "")
    assert "the loss was no finite number from step 20 on" in page
    assert ">OutOfMemoryError: in training with micro-batch 4: reached 1.23 GiB</td>" in page


def test_spec_versions_hardware_and_seeds_are_there(page: str) -> None:
    for text in ("published_figures: true", "2.13.0", "overlap · opening", "<dt>seeds</dt><dd>1</dd>"):
        assert text in page


def test_csv_files_hold_one_row_per_trial_and_per_step(built: report.Report) -> None:
    trials, curves = pd.read_csv(built.trials_csv), pd.read_csv(built.curves_csv)
    assert len(trials) == len(synthetic.ARMS)
    assert len(curves) == 8 * 5 + 3  # three trials ended after one report
    assert trials.set_index("arm").loc["lora r1 adamw", "peak_bytes"] == 1230 * synthetic.MIB


def test_figures_are_saved_as_files_too(built: report.Report) -> None:
    names = {path.name for path in (built.html.parent / "figures").iterdir()}
    tables = {f"loss-{table.anchor}.png" for table in built.tables}
    assert names == tables | {"memory.png", "pareto.png", "win-rate.png"}
    assert f"](figures/{min(tables)})" in built.markdown.read_text()


def test_rebuilding_gives_the_same_page(built: report.Report, experiment: Path, page: str) -> None:
    assert report.build(experiment).html.read_text() == page


@pytest.mark.slow
def test_published_figures_stand_beside_ours_only_where_the_spec_asks(experiment: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(experiment, tmp_path / "other"))
    (other / "spec.yaml").write_text(yaml.safe_dump({**synthetic.SPEC, "published_figures": False}))
    assert "2,090,215,424" in report.build(experiment).html.read_text()
    assert "2,090,215,424" not in report.build(other).html.read_text()


def test_our_arm_follows_the_published_run_of_the_same_method_rank_and_optimizer() -> None:
    arms = group_arms(synthetic.in_memory({"rank": 10}, {"method": "full", "rank": None}, {"optimizer": "sgd"}))
    frame = compare_published(arms)
    assert list(frame["run or arm"])[:5] == ["AdamW", "full adamw", "AdamW_lora1", "AdamW_lora10", "lora r10 adamw"]
    assert list(frame["run or arm"])[6:8] == ["SGD_lora1", "lora r1 sgd"]
    assert (frame["from"] == "ours").sum() == 3
    published, ours = frame.iloc[3], frame.iloc[4]
    assert (published["best test loss"], published["wins"]) == ("1.9562", "83 of 166")
    assert (ours["best test loss"], ours["wins"]) == ("1.9800", "20 of 40")


def test_our_base_model_is_named_beside_the_published_one() -> None:
    model = {"name": "gpt2-medium", "init": "random", "shape": {"n_layer": 2, "n_embd": None}}
    said = comparability(group_arms(synthetic.in_memory({})), {"model": model})
    assert "Published: GPT-2-medium" in said
    assert "Ours: gpt2-medium, init random, n_layer 2; steps 40;" in said


def test_wins_of_several_seeds_beside_the_published_ones_are_of_prompts_times_seeds() -> None:
    arms = group_arms(synthetic.in_memory({"rank": 10, "seed": 1}, {"rank": 10, "seed": 2}))
    assert "40 of 40 prompts × 2 seeds" in set(compare_published(arms)["wins"])


def test_win_rate_figure_marks_where_each_arm_would_be_even() -> None:
    arms = group_arms(synthetic.in_memory({"rank": 1}))
    drawing = draw_win_rates(arms, arm_styles(arms))
    assert drawing is not None
    (tick,) = [line for line in drawing.figure.axes[0].lines if line.get_label() == "even"]
    assert list(tick.get_xdata()) == [pytest.approx((1 - 2 / 40) / 2)] * 2
    assert "(1 - share of ties) / 2" in drawing.caption


def test_sweep_whose_trials_all_failed_has_a_report_that_says_so(experiment: Path, tmp_path: Path) -> None:
    failed = Path(shutil.copytree(experiment, tmp_path / "failed"))
    state = next(failed.glob("experiment_state-*.json"))
    state.write_text(state.read_text().replace('\\"TERMINATED\\"', '\\"ERROR\\"'))
    shutil.rmtree(failed / "report", ignore_errors=True)  # there, if another test has built it
    built = report.build(failed)
    assert "0 of 11 trials finished" in built.html.read_text()
    assert "nothing to compare" in built.html.read_text()
    assert not (failed / "report" / "figures" / "win-rate.png").exists()


def test_directory_without_spec_and_without_sweep_json_still_has_a_report(experiment: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(experiment, tmp_path / "bare"))
    (bare / "spec.yaml").unlink()
    (bare / "sweep.json").unlink()
    assert [table.title for table in report.build(bare).tables] == ["All arms"]


def test_long_title_and_empty_hardware_break_no_report(experiment: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copytree(experiment, tmp_path / "odd"))
    (odd / "spec.yaml").write_text(yaml.safe_dump({**synthetic.SPEC, "tables": [{"title": "x" * 300}]}))
    (odd / "sweep.json").write_text(json.dumps({**synthetic.SWEEP, "hardware": None}))
    assert "x" * 300 in report.build(odd).html.read_text()


def test_arm_is_drawn_in_one_colour_in_every_figure() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    arms = group_arms(results)
    styles = arm_styles(arms)
    (table,) = build_tables(arms, {"tables": [{"title": "Ranks"}]}, looks=1)
    losses, wins = draw_losses(table, results.curves, styles), draw_win_rates(arms, styles)
    assert losses is not None
    assert wins is not None
    drawn = {line.get_label(): line.get_color() for line in losses.figure.axes[1].lines}
    dots = [line.get_color() for line in wins.figure.axes[0].lines if line.get_marker() == "o"]
    assert [drawn[arm.label] for arm in arms] == dots == [styles[arm.label].colour for arm in arms]


def test_axes_of_the_loss_curves_have_units() -> None:
    results = synthetic.in_memory({})
    arms = group_arms(results)
    drawing = draw_losses(build_tables(arms, {}, looks=1)[0], results.curves, arm_styles(arms))
    assert drawing is not None
    assert [axes.get_ylabel() for axes in drawing.figure.axes] == ["nats/token"] * 2
    assert [axes.get_xlabel() for axes in drawing.figure.axes] == ["optimizer steps"] * 2


def test_exploding_arm_is_cut_off_and_the_caption_says_so() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    arms = group_arms(results)
    exploded = (results.curves["trial"] == "trial-1") & (results.curves["step"] == 40)
    results.curves.loc[exploded, "test_loss"] = 1e6
    drawing = draw_losses(build_tables(arms, {}, looks=1)[0], results.curves, arm_styles(arms))
    assert drawing is not None
    assert drawing.figure.axes[1].get_ylim()[1] < 5
    assert "cut off" in drawing.caption


def test_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "page.html"
    report.write(target, b"old")

    def full(source: str, destination: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        report.write(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_markdown_begins_with_the_verdicts_trust_and_the_leaderboard(built: report.Report) -> None:
    text = built.markdown.read_text(encoding="utf-8").replace("\\", "")
    first, rest = text.split("## What this shows")
    for verdict in built.summary.verdicts:
        assert f"**{verdict.title}: {verdict.headline}.** {' · '.join(verdict.facts)}" in first
    assert f"**Trust: {built.summary.trust.level}.**" in first
    assert all(f"- {doubt.reason} ({doubt.level}): " in first for doubt in built.summary.trust.doubts)
    (board,) = built.summary.boards
    rows = [line for line in first.splitlines() if line.startswith("| ")][1:]
    assert [row.split("|")[2].strip() for row in rows] == [place.label for place in board.places]
    assert "Holm-adjusted" in rest


@pytest.mark.parametrize("width", [60, 80, 200])
def test_printed_tables_fit_the_terminal(built: report.Report, width: int) -> None:
    stream = io.StringIO()
    report.print_tables(built, Console(file=stream, width=width))
    lines = stream.getvalue().splitlines()
    assert max(len(line) for line in lines if not line.startswith("Report:")) <= width
    assert any(line.startswith("lora r100 adamw ") and "1.9700" in line for line in lines)


def test_table_without_a_factor_still_says_everywhere_in_what_its_rows_differ(experiment: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(experiment, tmp_path / "study", ignore=shutil.ignore_patterns("report"))
    (copied / "spec.yaml").write_text("name: study\n")
    built = report.build(copied)
    stream = io.StringIO()
    report.print_tables(built, Console(file=stream, width=10_000))
    said = "The rows differ in method: full (full adamw), lora ("
    assert said in stream.getvalue()
    assert said in built.markdown.read_text(encoding="utf-8")
    page = built.html.read_text(encoding="utf-8")
    assert re.search(f'<p class="notes">[^<]*{re.escape(said)}', page)  # not folded away


def test_command_line_takes_a_relative_path(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(experiment.parent)
    assert report.main(["study"]) == 0
    short = capsys.readouterr().out
    assert report.main(["study", "--verbose"]) == 0
    assert "LOWEST LOSS" in short
    assert "LoRA rank" not in short
    assert "LoRA rank" in capsys.readouterr().out


def test_command_line_says_in_one_line_why_nothing_could_be_written(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(report, "write", full)
    assert report.main([str(experiment)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device" in error


def test_command_line_names_a_missing_directory_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path / "missing")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "missing is not a directory" in error


@pytest.mark.parametrize(("level", "aim"), [("low", "To raise trust"), ("medium", "Against the doubt “few seeds”")])
def test_the_last_line_promises_more_trust_only_where_its_doubt_is_a_gravest(
    built: report.Report, level: Level, aim: str
) -> None:
    doubts = (Doubt("test text in train", "", "", "low"), Doubt("few seeds", "", "python -m sweep.run x", level))
    printed = io.StringIO()
    summary = replace(built.summary, trust=Trust("low", doubts))
    print_summary(replace(built, summary=summary), Console(file=printed))
    assert printed.getvalue().splitlines()[-1] == f"{aim}: python -m sweep.run x"


def test_several_sweeps_make_one_report_in_a_folder_of_its_own(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither has records, so that no trial of one is taken for another's; one is given twice."""
    other, link, before = tmp_path / "other sweep", tmp_path / "link", sorted(experiment.rglob("*"))
    shutil.copytree(experiment, other)
    link.symlink_to(other)
    monkeypatch.chdir(tmp_path)
    assert report.main([str(experiment), "other sweep", str(link)]) == 0
    folder = tmp_path / "report-other-sweep-study"
    trials = pd.read_csv(folder / "trials.csv")
    assert set(trials["sweep"]) == {"study", "other sweep"}
    assert trials["arm"].nunique() == len(trials) == 2 * len(synthetic.ARMS)
    assert "sweep" in pd.read_csv(folder / "curves.csv")
    assert "The rows come from 2 sweeps" in (folder / "report.md").read_text()
    assert sorted(experiment.rglob("*")) == before


def test_sweeps_that_cannot_be_read_together_are_one_line(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, why in (
        ([str(experiment), str(tmp_path / "nowhere")], "is not a directory"),
        ([str(experiment), str(experiment.parent)], "it holds 1, to be given each: study"),
        ([str(experiment), "--to", str(experiment / "report")], "lies in the experiment"),
    ):
        assert report.main(words) == 2
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
