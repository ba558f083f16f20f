"""`make mine`: the overlay that it writes for a folder of images, its estimate and its errors."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from refusals import user_error
from run_tools import shipped_config
from test_workflow import jobs, of, workflow
from waiting import ROOT

from vaeglow.config import resolve
from workflow import mine

COUNTS = {"train": 500, "val": 0, "test": 2000}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of 110 pictures in colour, of several sizes, beside a config."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("mine", "tuned"))
    return pictures(tmp_path / "My Pictures!", 110, "RGB")


def pictures(folder: Path, count: int, *modes: str) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        shape = (7 + number % 40, 5 + number % 30, 3)
        image = Image.fromarray(random.integers(0, 256, shape, np.uint8))
        image.convert(modes[0]).convert(modes[number % len(modes)]).save(folder / f"{number}.png")
    return folder


def made(capsys, folder: str | Path) -> tuple[str, list[str], Path]:
    """The name that is printed, what is said beside it, and the overlay's file."""
    mine.main([str(folder), "--size", "8"])
    found = capsys.readouterr()
    (name,) = found.out.split()
    return name, found.err.splitlines(), Path(f"config/mine/{name}-demo.yaml")


def test_a_folder_gets_a_table_and_samples_of_its_own_and_networks_that_fit(folder, capsys):
    name, (first, second, third), overlay = made(capsys, folder)
    assert name == "my_pictures_8"
    assert first.startswith("88 images train and 22 test, in colour; config/mine/my_pictures_8-demo.yaml is written")
    times = r"about \d+:\d\d:\d\d with CORES=1; training alone: glow \d.*, vaeglow_as_written \d"
    assert re.match(times, second) and third == mine.EXPECT
    targets = (f"results/{name}.csv", f"results/{name}_samples.png")
    found = jobs(workflow("-n", *targets, "--configfile", str(overlay), cwd=Path.cwd()))
    assert of(found, "dataset") == {name}
    assert ("publish", {"table": name}) in found and ("publish_figure", {"figure": f"{name}_samples"}) in found
    assert sum(rule.startswith("train_") for rule, _ in found) == 4
    written = yaml.safe_load(overlay.read_text())
    assert written["overrides"].keys() == {"datasets"} and written["tables"][name]["published"] is None
    assert written["protocols"] == {"test-22-2048": {"split": "test", "images": 22, "features": 2048, "sets": 1}}
    for section in ("datasets", "protocols", "tables", "figures"):  # nothing of the demo's is another
        assert not written[section].keys() & shipped_config()[section].keys()
    written["datasets"][name]["train_subset"] = 40  # more than a batch
    overlay.write_text(yaml.safe_dump(written))
    assert re.match(times, made(capsys, folder)[1][1])


@pytest.mark.parametrize(("size", "scales"), [(16, 2), (64, 4)])
def test_networks_follow_the_side_and_epochs_the_number_of_images(size, scales, folder):
    config = mine.read_config(Path("config").joinpath)
    overlay = mine.overlay_of(config, "cpu", "x", {"kind": "folder", "root": "/x", "size": size}, COUNTS)
    config = mine.merge(config, overlay)
    runs = []
    for model in ("vae", "vaeglow", "glow"):
        run, usual = (resolve(config, "cpu", dataset, model, 0) for dataset in ("x", "photos32"))
        assert run["training"]["epochs"] == 38 * usual["training"]["epochs"]
        runs.append(run)
    vae, ours, glow = runs
    assert vae["network"]["num_scale"] == ours["base"]["network"]["num_scale"] == glow["network"]["levels"] == scales
    assert ours["base"]["training"] == vae["training"]
    assert glow["training"]["warmup_epochs"] == 38 * usual["training"]["warmup_epochs"]


def test_grey_images_make_grey_models_and_leave_out_what_cannot_take_them(tmp_path, folder, capsys):
    pictures(tmp_path / "grey/train", 80, "L", "RGB")
    pictures(tmp_path / "grey/test", 20, "LA")
    name, (left_out, *_), file = made(capsys, tmp_path / "grey")
    assert "vaeglow_as_written cannot split one channel" in left_out and left_out.endswith("left out")
    overlay = yaml.safe_load(file.read_text())
    dataset = overlay["datasets"][name]
    assert dataset["channels"] == 1 and "test_fraction" not in dataset
    rows = overlay["tables"][name]["rows"] + overlay["figures"][f"{name}_samples"]["rows"]
    assert {row.get("model") for row in rows} == {None, "vae", "vaeglow", "glow"}


def test_an_overlay_that_is_there_is_used_as_it_is(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setattr(mine, "training_seconds", lambda *_: 1.0)
    *_, path = made(capsys, folder)
    text = path.read_text()
    edited = text.replace("warmup_epochs: 0", "warmup_epochs: 1")
    path.write_text(edited)
    _, lines, _ = made(capsys, "My Pictures!")
    assert "is there and used as it is" in lines[0] and path.read_text() == edited
    other = pictures(tmp_path / "other/my pictures", 100, "RGB")
    with user_error(r"my_pictures_8-demo\.yaml is of .*: delete it, or give .* another name"):
        made(capsys, other)
    for old, new, says in (
        ("kind: folder", "kind: foldr", ": .*foldr.*: correct it, or delete it"),
        ("tables:", "tables: [", r": .*line \d+.*: correct it, or delete it"),
        ("tables:\n  my_", "tables:\n  your_", " lacks the dataset or the table my_pictures_8: delete"),
    ):
        path.write_text(text.replace(old, new))
        with user_error(rf"my_pictures_8-demo\.yaml{says}"):
            made(capsys, folder)


def test_a_slip_is_one_line_and_writes_nothing(folder):
    pictures(Path("few"), 99, "L")
    for path in pictures(Path("broken"), 100, "L").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    Path("none").mkdir()
    for words, says in {
        ("",): "make mine IMAGES=",
        ("nowhere",): r"nowhere is not a folder: correct the path",
        ("few",): r"few: 79 images train and 20 test: 80 and 20 are needed, 100 in one folder",
        ("none",): "holds no image files",
        ("few", "--size", "48"): r"SIZE=48: the networks take a side that is a power of two, such as 32, 64 or 128",
        ("broken",): r"broken/\S+\.png: .+: repair or remove it",
        ("few", "--preset", "dmeo"): r"unknown preset 'dmeo' \(did you mean 'demo'\?\)",
    }.items():
        with user_error(says):
            mine.main([*words])
    assert not Path("config/mine").exists()
