"""`python -m vaeglow.verify`: a clean tree passes, and each way to change one is found and named."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from refusals import user_error
from run_tools import Run, prepare
from table_tools import change
from verify_tools import DATA

from vaeglow import verify
from vaeglow.files import read_json, sha256_file, write_json

RESULTS = Path("results")
TINY = RESULTS / "tiny/blobs"
VAE = TINY / "vae/seed0"
LAYERED = TINY / "vaeglow/seed0"
MODEL = VAE / "model.safetensors"
CONFIG = VAE / "config.json"
METRICS = VAE / "metrics/test-12-64/T0.0.json"
SAMPLES = VAE / "samples/T0.0.npz"
LIKELIHOOD = VAE / "likelihood.json"
TABLE = RESULTS / "tiny/tables/table2.csv"


@pytest.fixture
def tree(results_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to break, the current folder."""
    copy = shutil.copytree(results_tree, tmp_path / "copy")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """`check("mismatch: ")`: the lines of a verification that start so; its exit status is 1 where there are such."""

    def check(start: str = "", *options: str, folder: str = "results") -> list[str]:
        capsys.readouterr()
        status = 0
        try:
            verify.main([folder, *(["--data", str(DATA.parent)] if DATA.exists() else []), *options])
        except SystemExit as stop:
            status = stop.code
        output = capsys.readouterr().out
        assert status == bool(re.search("^mismatch: ", output, re.MULTILINE))
        return [line for line in output.splitlines() if line.startswith(start)]

    return check


def flip(path: Path, position: float = 0.9) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    at = int(position * path.stat().st_size)
    if path.suffix == ".npz":  # the archive's own fields, such as a member's date, are not content
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda member: member.compress_size)
        at = largest.header_offset + largest.compress_size
    while path.suffix == ".json" and content[at : at + 1].isdigit():  # another last digit can mean the same number
        at += 1
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path, end: int = 200) -> None:
    path.write_bytes(path.read_bytes()[:end])


def rewrite(path: Path, rows: slice = slice(None), columns: slice = slice(None), **cells: str) -> None:
    """Write these rows and columns of a table again, with other cells in the last row."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, cell in cells.items():
        table.loc[len(table) - 1, name] = cell
    table.iloc[rows, columns].to_csv(path, index=False)


def edit_cell(column: str) -> Callable[[Path], None]:
    return lambda path: rewrite(path, **{column: "1.00"})


def save_again(path: Path) -> None:
    """A picture, without what it was drawn from."""
    Image.open(path).save(path)


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


# What is done: to which file, how, and words of the one line that names it. Flipped bits: below.
TAMPERED: dict[str, tuple[Path, Callable[[Path], object], str]] = {
    "no weights": (MODEL, truncate, "truncated"),
    "a number": (METRICS, lambda path: change(path, fid=1.0), "is not what was written: its hash is"),
    "no seal": (METRICS, lambda path: change(path, provenance={}), "lacks 'content_sha256'"),
    "what a figure was drawn from": (RESULTS / "tiny/figures/samples.png", save_again, "no hash"),
    "a cell of a table": (TABLE, edit_cell("fid"), "not the first columns of table2.full.csv"),
    "a row away": (TABLE, lambda path: rewrite(path, slice(-1)), "not the"),
    "a column away": (TABLE, lambda path: rewrite(path, columns=slice(-1)), "not the first"),
    "a cell of all columns": (TABLE.with_suffix(".full.csv"), edit_cell("precision"), "row 7 is not what was written"),
    "a copy's evidence": (RESULTS / "table2.csv", lambda path: path.with_suffix(".full.csv").unlink(), "no hash"),
    "another's config": (CONFIG, lambda path: shutil.copy(LAYERED / "config.json", path), "model in the file and in"),
    "a loss": (VAE / "history.csv", edit_cell("bits_per_dim"), f"has changed (says {VAE}/training.json"),
    "JSON too deep": (METRICS, lambda path: path.write_text("[" * 100_000), "recursion depth"),
    "a byte of the data": (DATA / "test.npy", flip, f"has changed (says {DATA}/dataset.json"),
    "truncated data": (DATA / "train.npy", truncate, "ValueError("),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_named_in_one_line(what, tree, check):
    path, tamper, words = TAMPERED[what]
    tamper(path)
    *_, last = lines = check()
    (line,) = [line for line in lines if line.startswith("mismatch: ")]
    assert line.startswith(f"mismatch: {path}: ") and words in line and " 1 mismatches, " in last, line
    assert re.search(rf"expected .*, found .*: {re.escape(verify.REDO)}$", line), line


def test_a_clean_tree_and_nothing_written(tree, check):
    def files() -> dict[Path, tuple[int, str]]:
        return {path: (path.stat().st_mtime_ns, sha256_file(path)) for path in Path().rglob("*") if path.is_file()}

    before = files()
    *lines, last = check()
    assert not [line for line in lines if line.startswith(("mismatch: ", "not there: "))], lines
    assert "files checked: 0 mismatches, 0 not there, " in last
    (unchecked,) = check("not checked: ", "--all")
    assert "results/tiny/figures/samples.pdf" in unchecked and "/state/" in unchecked
    assert before == files()


def test_whatever_is_flipped_is_found(tree, check):
    """A bit in the middle of every file that is not on the list of what is not checked."""
    unchecked = "\n".join(check("not checked", "--all"))
    files = {path for path in RESULTS.rglob("*") if path.is_file() and not path.name.startswith(".")}
    checked = {path for path in files if str(path) not in unchecked}
    by_others = {*RESULTS.rglob("config.json"), *RESULTS.rglob("history.csv")}
    assert len(checked) > 40 and len(by_others) == 8
    assert {RESULTS / name for name in ("table2.csv", "samples.png", "claims.csv")} <= checked
    for some in (by_others, checked - by_others):
        contents = {path: path.read_bytes() for path in some}
        for path in some:
            flip(path, 0.5)
        assert some - named(check("mismatch: ")) == set()
        for path, content in contents.items():
            path.write_bytes(content)


def named(lines: list[str]) -> set[Path]:
    """The files that lines begin with."""
    return {Path(re.split(": |, named by ", line)[1]) for line in lines}


def test_swapped_files_and_replaced_data(tree, check):
    swap(CONFIG, TINY / "vae/seed1/config.json")
    swap(SAMPLES, LAYERED / "samples/T1.0.npz")
    assert len(check("mismatch: ")) == 4
    swap(CONFIG, TINY / "vae/seed1/config.json")
    swap(SAMPLES, LAYERED / "samples/T1.0.npz")
    shutil.rmtree(DATA)
    prepare(DATA, seed=9)
    (line,) = check("mismatch: ")
    assert line.startswith(f"mismatch: {DATA}/dataset.json: its content has changed (says ") and "more)" in line


def test_a_run_trained_again_under_its_old_results(tree, check):
    """Whatever was made of the old weights says so, also where the samples in between are gone."""
    again = Run(VAE, {**read_json(CONFIG), "seed": 0}, DATA)
    shutil.rmtree(again.state)
    again.config["training"]["learning_rate"] = 0.004
    write_json(CONFIG, again.config)
    again.train()
    SAMPLES.unlink()
    (line,) = check(f"mismatch: {MODEL}: its con", "--all")
    assert all(str(path) in line for path in (LIKELIHOOD, METRICS, LAYERED / "training.json"))


def test_what_is_not_there_is_no_mismatch(tree, check):
    """Samples that were deleted as temporary, an array of the data, all of the data."""
    away = [*RESULTS.rglob("samples/*.npz"), DATA / "val.npy"]
    for path in away:
        path.unlink()
    shutil.rmtree(RESULTS / "tiny/tables")
    assert {*away} <= named(check("not there: ")) and not check("mismatch: ")
    shutil.rmtree(DATA.parent)
    assert check("not checked: prepared data: give their folder with --data") and not check("mismatch: ")


def test_the_folder_may_have_moved(tree, check, monkeypatch):
    kept = (tree / "results").rename(tree / "kept")
    monkeypatch.chdir("/")
    assert " 0 mismatches, " in check(folder=str(kept))[-1]
    flip(kept / "tiny/blobs/vae/seed0/history.csv")
    assert check("mismatch: ", folder=str(kept))


def test_no_results_are_said_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "results/tiny").mkdir(parents=True)
    (tmp_path / "results/.gitkeep").touch()
    for folder in ("results", "empty", "nowhere"):
        with user_error("holds no results: give the folder"):
            verify.main([str(tmp_path / folder)])
