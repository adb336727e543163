"""The token cache, and the windows that trials train and test on."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers

import sweep.data.cache_entry
import sweep.data.tokens
from basis.errors import UserError
from basis.packages import ROOT
from sweep.data.dialogues import DataSources
from sweep.data.digests import source_digests
from sweep.data.tokenizer import END_OF_TEXT, load_tokenizer
from sweep.data.tokens import TokenSet, prepare_tokens
from sweep.data.windows import open_tokens, train_window_starts, windows
from sweep.data.windows import test_window_starts as fixed_window_starts  # by its own name, pytest would run it

SHARED = ROOT.parent / "shared"
SAMPLE = SHARED / "data" / "hh_harmless_sample.jsonl.gz"
GPT2_TOKENIZER = SHARED / "gpt2-tokenizer"
needs_sample = pytest.mark.skipif(
    not (SAMPLE.exists() and GPT2_TOKENIZER.exists()), reason="the HH-RLHF sample or GPT-2's tokenizer is not here"
)

DIALOGUES = [f"\n\nHuman: What is {n} – “naïve” ☃?\n\nAssistant: A number.\n{n}!" for n in range(30)]


def write_lines(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"chosen": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def quiet(line: str) -> None:
    assert line
    assert "\n" not in line


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer, as a folder with tokenizer.json alone."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_bpe().save(str(folder / "tokenizer.json"))
    return folder


def train_bpe(vocabulary: int = 300) -> tokenizers.Tokenizer:
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(DIALOGUES, trainer)
    return bpe


@pytest.fixture
def data(tmp_path: Path) -> DataSources:
    train, test = write_lines(tmp_path / "train.jsonl", DIALOGUES), write_lines(tmp_path / "test.jsonl", DIALOGUES[:4])
    return DataSources((train,), (test,))


@pytest.fixture
def prepare(data: DataSources, tokenizer_dir: Path, tmp_path: Path) -> Callable[..., TokenSet]:
    """prepare_tokens with arguments that a test may change."""

    def call(**changed: Any) -> TokenSet:
        arguments = {"data": data, "tokenizer_dir": tokenizer_dir, "cache_dir": tmp_path / "cache", "say": quiet}
        return prepare_tokens(**{**arguments, "block_size": 8, **changed})

    return call


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the cache should have been used")

    monkeypatch.setattr(sweep.data.tokens, "load_sft", forbidden)
    monkeypatch.setattr(sweep.data.tokens, "load_tokenizer", forbidden)


def test_tokens_decode_to_the_dialogues_with_end_of_text_between(
    prepare: Callable[..., TokenSet], tokenizer_dir: Path
) -> None:
    made = prepare()
    tokenizer = load_tokenizer(tokenizer_dir)
    tokens = open_tokens(made.train_path)
    assert tokens.dtype == np.uint16
    assert len(tokens) == made.train_tokens
    assert len(open_tokens(made.test_path)) == made.test_tokens
    assert tokenizer.decode(tokens.tolist()) == "".join(text + END_OF_TEXT for text in DIALOGUES)
    expected = [token for text in DIALOGUES for token in (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)]
    assert tokens.tolist() == expected


def test_a_field_that_is_named_is_not_answered_by_an_entry_of_recognised_messages(
    prepare: Callable[..., TokenSet], tmp_path: Path
) -> None:
    talks = tmp_path / "talks.jsonl"
    turns = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "yes"}] for n in range(9)]
    talks.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in turns))
    recognised = DataSources((str(talks),), (str(talks),))
    assert prepare(data=recognised).kind == "conversations"
    with pytest.raises(UserError, match="no field 'chosen'"):
        prepare(data=replace(recognised, field="chosen"))


def test_statistics_are_kept_with_the_tokens(prepare: Callable[..., TokenSet], tmp_path: Path) -> None:
    exclude = write_lines(tmp_path / "exclude.jsonl", DIALOGUES[20:])
    test = write_lines(tmp_path / "other.jsonl", [DIALOGUES[0], DIALOGUES[1] + "?", "\n\nHuman: new"])
    train = str(tmp_path / "train.jsonl")
    said: list[str] = []
    for _ in range(2):
        made = prepare(data=DataSources((train, train), (test,), (exclude,)), say=said.append)
        assert made.statistics == {
            "form_chosen": 63,
            "train_dialogues": 40,
            "test_dialogues": 3,
            "excluded_dialogues": 20,
            "overlap_exact": 1,
            "overlap_opening": 2,
            "train_openings_unknown": 0,
            "test_openings_unknown": 0,
            "train_duplicates": 20,
            "test_duplicates": 0,
        }
    overlap = "of 3 test dialogues 1 also occur in train; 2, these included, open with the same human turn"
    copies = "duplicates, copies beyond the first: 20 train dialogues"
    assert [line for line in said if line.startswith(overlap) or line == copies] == said[-2:] * 2


def test_a_token_set_travels_to_other_processes(prepare: Callable[..., TokenSet]) -> None:
    made = prepare()
    packed = pickle.dumps(made)
    assert pickle.loads(packed) == made
    assert len(packed) < 1000


def test_opened_tokens_are_mapped_and_read_only(prepare: Callable[..., TokenSet]) -> None:
    tokens = open_tokens(prepare().train_path)
    assert isinstance(tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_a_second_run_neither_reads_nor_tokenises(
    prepare: Callable[..., TokenSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare()
    forbid_reading(monkeypatch)
    assert prepare() == first


def test_what_tokens_were_made_from_is_told_with_them(prepare: Callable[..., TokenSet], data: DataSources) -> None:
    made, found_again = prepare(), prepare()
    assert made.sources == found_again.sources == tuple(source_digests(data))
    assert [source.role for source in made.sources] == ["train", "test"]


@pytest.mark.parametrize("change", ["a byte of the data", "tokenizer", "eos token", "field", "test_fraction", "role"])
def test_a_change_of_anything_makes_new_tokens(
    prepare: Callable[..., TokenSet], data: DataSources, tokenizer_dir: Path, tmp_path: Path, change: str
) -> None:
    first = prepare()
    changed: dict[str, Any] = {}
    if change == "a byte of the data":
        path = Path(data.train[0])
        path.write_bytes(path.read_bytes().replace(b"number", b"Number", 1))
    elif change == "tokenizer":
        changed["tokenizer_dir"] = tmp_path / "tokenizer"
        changed["tokenizer_dir"].mkdir()
        train_bpe(299).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    elif change == "eos token":
        changed["tokenizer_dir"] = tmp_path / "tokenizer"
        tokenizer = load_tokenizer(tokenizer_dir)
        tokenizer.eos_token = "!"
        tokenizer.save_pretrained(tmp_path / "tokenizer")
    elif change == "field":
        for sources in (data.train, data.test):
            path = Path(sources[0])
            path.write_text("".join(json.dumps({"chosen": text, "text": "b" * 9}) + "\n" for text in DIALOGUES))
        first = prepare()
        changed["data"] = DataSources(data.train, data.test, field="text")
    elif change == "test_fraction":
        first = prepare(data=DataSources(data.train, test_fraction=0.1))
        changed["data"] = DataSources(data.train, test_fraction=0.6)
    else:
        changed["data"] = DataSources(data.test, data.train)
    second = prepare(**changed)
    assert second.train_path != first.train_path
    assert open_tokens(second.train_path).tolist() != open_tokens(first.train_path).tolist()


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "statistics.json", "seals.json"])
def test_an_entry_with_a_damaged_file_is_set_aside_named_and_made_again(
    prepare: Callable[..., TokenSet], name: str
) -> None:
    made = prepare()
    path = made.train_path.with_name(name)
    whole = path.read_bytes()
    for damaged in (None, b"", whole[:-10], b"[1]", b"{}", whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]):
        said: list[str] = []
        path.unlink() if damaged is None else path.write_bytes(damaged)
        assert prepare(say=said.append) == made
        assert path.read_bytes() == whole
        [line] = [line for line in said if "set aside as" in line]
        assert line.startswith(f"{path.parent}: ")
        assert name == "seals.json" or f": {name} " in line
        assert line.endswith("; made again")


def test_a_failing_build_leaves_nothing_behind(
    prepare: Callable[..., TokenSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sweep.data.cache_entry, "write_examples", full_disk)
        with pytest.raises(UserError, match=r"cache can't be written: the disk is full \(.* free on /"):
            prepare()
    assert list((tmp_path / "cache").iterdir()) == []
    assert prepare().train_tokens > 0


def test_a_cache_that_is_a_file_is_an_error(prepare: Callable[..., TokenSet], tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match="cache: the token cache can't be written"):
        prepare()


def test_the_slower_of_two_builders_uses_the_entry_of_the_faster(
    prepare: Callable[..., TokenSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = sweep.data.cache_entry.write_examples
    faster: list[tuple[TokenSet, int]] = []

    def overtaken(*arguments: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(sweep.data.cache_entry, "write_examples", write)
            made = prepare()
        faster.append((made, made.train_path.stat().st_ino))
        return write(*arguments, **options)

    monkeypatch.setattr(sweep.data.cache_entry, "write_examples", overtaken)
    slower = prepare()
    assert faster == [(slower, slower.train_path.stat().st_ino)] * 2  # looked at once for train, once for test
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.slow
def test_processes_that_prepare_at_once_agree(data: DataSources, tokenizer_dir: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom sweep.data.dialogues import DataSources\n"
        "from sweep.data.tokens import prepare_tokens\n"
        "from sweep.data.windows import open_tokens\n"
        "train, test, tokenizer, cache = sys.argv[1:]\n"
        "made = prepare_tokens(DataSources((train,), (test,)), tokenizer, Path(cache), lambda _: None, block_size=8)\n"
        "print(made.train_path, made.train_tokens, int(open_tokens(made.train_path).sum()))\n"
    )
    command = [sys.executable, "-c", script, data.train[0], data.test[0], str(tokenizer_dir), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("name", ["train", "test"])
def test_fewer_tokens_than_a_window_is_an_error_that_names_the_set(
    prepare: Callable[..., TokenSet], data: DataSources, tmp_path: Path, name: str
) -> None:
    short = write_lines(tmp_path / "short.jsonl", ["abc"])
    sources = DataSources((short,), data.test) if name == "train" else DataSources(data.train, (short,))
    message = rf"the {name} set has 4 tokens, but one window takes 5 \(block_size 4 \+ 1\)"
    with pytest.raises(UserError, match=message):
        prepare(data=sources, block_size=4)
    with pytest.raises(UserError, match=message):  # from the cache as well
        prepare(data=sources, block_size=4)
    prepare(data=sources, block_size=3)


def test_a_tokenizer_in_pure_python_works(
    prepare: Callable[..., TokenSet], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers.ByT5Tokenizer(model_max_length=16).save_pretrained(tmp_path / "byt5")
    tokenizer = load_tokenizer(tmp_path / "byt5")
    assert not tokenizer.is_fast
    made = prepare(tokenizer_dir=tmp_path / "byt5")
    text = tokenizer.decode(open_tokens(made.train_path).tolist())
    assert text == "".join(text + tokenizer.eos_token for text in DIALOGUES)
    assert capfd.readouterr().err == "", "transformers warned about long sequences"


def test_truncation_and_padding_of_a_tokenizer_are_not_applied(
    prepare: Callable[..., TokenSet], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cutting = train_bpe()
    cutting.enable_truncation(4)
    cutting.enable_padding(length=100)
    (tmp_path / "tokenizer").mkdir()
    cutting.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    made = prepare(tokenizer_dir=tmp_path / "tokenizer")
    assert open_tokens(made.train_path).tolist() == open_tokens(prepare().train_path).tolist()
    assert capfd.readouterr().err == ""


def test_a_large_vocabulary_is_stored_in_32_bits(
    prepare: Callable[..., TokenSet], tokenizer_dir: Path, tmp_path: Path
) -> None:
    large = train_bpe()
    large.add_tokens([f"<extra {n}>" for n in range(2**16)])
    (tmp_path / "tokenizer").mkdir()
    large.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    text = write_lines(tmp_path / "large.jsonl", ["ab<extra 65535>cd"])
    made = prepare(tokenizer_dir=tmp_path / "tokenizer", data=DataSources((text,), (text,)), block_size=2)
    tokens = open_tokens(made.train_path)
    assert tokens.dtype == np.uint32
    assert tokens.max() == large.token_to_id("<extra 65535>")
    assert tokens.max() > 2**16


def test_a_tokenizer_is_loaded_from_every_kind_of_folder(tokenizer_dir: Path, tmp_path: Path) -> None:
    bare = load_tokenizer(tokenizer_dir)
    assert bare.eos_token == END_OF_TEXT
    bare.save_pretrained(tmp_path / "saved")
    train_bpe().model.save(str(tmp_path))  # vocab.json and merges.txt
    pair = tmp_path / "pair"
    pair.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.move(tmp_path / name, pair / name)
    for folder in (tmp_path / "saved", str(pair)):
        other = load_tokenizer(folder)
        assert other(DIALOGUES[0])["input_ids"] == bare(DIALOGUES[0])["input_ids"]
        assert other.eos_token_id == bare.eos_token_id


def test_a_folder_that_is_no_tokenizer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    expected = {
        tmp_path
        / "weights": r"weights': no tokenizer files; tokenizer\.json, or vocab\.json and merges\.txt, are needed",
        tmp_path / "broken": r"broken' can't be loaded: .* \(its files are damaged or incomplete\)",
        tmp_path / "missing": "missing': no such folder",
    }
    for folder, message in expected.items():
        with pytest.raises(UserError, match=message) as raised:
            load_tokenizer(folder)
        assert "\n" not in str(raised.value)


def test_a_tokenizer_without_end_of_text_is_an_error(tmp_path: Path) -> None:
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, []))
    bpe.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="has no end-of-text token; set eos_token in its tokenizer_config"):
        load_tokenizer(tmp_path)


def test_reopening_imports_neither_torch_nor_transformers(prepare: Callable[..., TokenSet], tmp_path: Path) -> None:
    made = prepare()
    script = (
        "import sys; from pathlib import Path; import sweep.data.dialogues\n"
        "from sweep.data.windows import open_tokens\n"
        f"assert len(open_tokens(Path({str(made.train_path)!r}))) == {made.train_tokens}\n"
        "print({'torch', 'transformers', 'ray', 'datasets', 'pyarrow'} & set(sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_train_windows_depend_on_seed_and_step_alone() -> None:
    def starts(seed: int, step: int) -> list[int]:
        return list(map(int, train_window_starts(seed, step, count=8, tokens=100_000, block_size=64)))

    unbroken = [starts(seed=3, step=step) for step in range(50)]
    resumed = [starts(seed=3, step=step) for step in range(30, 50)]
    assert unbroken[30:] == resumed
    assert len({tuple(step) for step in unbroken}) == 50
    assert starts(seed=4, step=0) != unbroken[0]
    assert starts(seed=2**40, step=2**33) == starts(seed=2**40, step=2**33)


def test_train_windows_are_uniform_over_all_places_that_fit() -> None:
    tokens, block_size = 108, 8
    drawn = np.concatenate([train_window_starts(0, step, 100, tokens, block_size) for step in range(1000)])
    counts = np.bincount(drawn)
    assert len(counts) == tokens - block_size  # the last window ends with the last token
    chi_squared = float(((counts - 1000) ** 2 / 1000).sum())
    assert 55 < chi_squared < 165  # 99 degrees of freedom: outside this once in a thousand


@pytest.mark.parametrize(
    ("tokens", "block_size", "wanted", "got"), [(1000, 9, 7, 7), (1000, 9, 500, 100), (25, 9, 5, 2), (10, 9, 3, 1)]
)
def test_test_windows_are_spread_and_do_not_overlap(tokens: int, block_size: int, wanted: int, got: int) -> None:
    starts = fixed_window_starts(tokens, block_size, wanted)
    gaps = np.diff(starts)
    assert len(starts) == got
    assert starts[0] == 0
    assert (gaps >= block_size + 1).all()
    assert got == 1 or starts[-1] + block_size + 1 == tokens
    assert got == 1 or gaps.max() - gaps.min() <= 1


def test_windows_hold_inputs_and_targets(prepare: Callable[..., TokenSet]) -> None:
    tokens = open_tokens(prepare().train_path)
    last = len(tokens) - 9
    cut = windows(tokens, np.array([0, last, 5]), block_size=8)
    assert cut.shape == (3, 9)
    assert cut.dtype == np.int64
    assert cut[0].tolist() == tokens[:9].tolist()
    assert cut[1].tolist() == tokens[-9:].tolist()
    assert cut[2, 1:].tolist() == tokens[6:14].tolist()
    cut[0] = 0  # a copy: training code may write into it
    assert tokens[0] != 0


@needs_sample
def test_real_dialogues_in_gpt2_tokens(tmp_path: Path) -> None:
    made = prepare_tokens(DataSources((str(SAMPLE),)), GPT2_TOKENIZER, tmp_path, quiet, block_size=1024)
    tokenizer = load_tokenizer(GPT2_TOKENIZER)
    tokens = open_tokens(made.train_path)
    assert tokens.dtype == np.uint16
    assert made.statistics["train_dialogues"] + made.statistics["test_dialogues"] == 1500
    assert int((tokens == tokenizer.eos_token_id).sum()) == made.statistics["train_dialogues"]
    first = tokenizer.decode(tokens[: int(np.argmax(tokens == tokenizer.eos_token_id))].tolist())
    assert first.startswith("\n\nHuman: ")
    assert len(fixed_window_starts(made.test_tokens, 1024, 240)) == made.test_tokens // 1025
