"""`make mine`: the overlay that it writes for a folder of images, its estimate and its errors."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from run_tools import checked
from test_workflow import jobs, workflow
from waiting import ROOT

from vaeglow.config import plan, resolve, without
from vaeglow.errors import UserError
from workflow import mine


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


def made(capsys, *words: str) -> tuple[str, list[str], dict]:
    """The name that is printed, what is said beside it, and the overlay."""
    mine.main([*words])
    found = capsys.readouterr()
    (name,) = found.out.split()
    preset = words[words.index("--preset") + 1] if "--preset" in words else "demo"
    return name, found.err.splitlines(), yaml.safe_load(Path(f"config/mine/{name}-{preset}.yaml").read_text())


def test_a_folder_gets_a_table_and_samples_of_its_own_and_networks_that_fit(folder, capsys):
    name, said, overlay = made(capsys, str(folder), "--size", "8")
    assert name == "my_pictures_8" and len(said) == 2
    assert said[0].startswith("88 images train and 22 test, in colour; config/mine/my_pictures_8-demo.yaml is written")
    times = r"about \d+:\d\d:\d\d with CORES=1; training alone: glow \d.*, vaeglow_as_written \d"
    assert re.match(times, said[1])
    output = workflow(
        *("-n", "results/my_pictures_8.csv", "results/my_pictures_8_samples.png"),
        *("--configfile", "config/mine/my_pictures_8-demo.yaml"),
        cwd=Path.cwd(),
    )
    found = jobs(output)
    assert {wildcards["dataset"] for _, wildcards in found if "dataset" in wildcards} == {name}
    assert ("publish", {"table": name}) in found and ("publish_figure", {"figure": f"{name}_samples"}) in found
    assert sum(rule.startswith("train_") for rule, _ in found) == 4
    demo = checked()["demo"]
    both = checked(yaml.safe_dump(overlay))["demo"]
    assert not without(demo, both) and {section for section in both if both[section] != demo[section]} == {
        *("datasets", "protocols", "tables", "figures", "unfit")  # nothing of the demo's is another
    }
    assert plan.filled_in(both, "tables", name)["published"] is None
    assert overlay["protocols"] == {"test-22-2048": {"split": "test", "images": 22, "features": 2048, "sets": 1}}


@pytest.mark.parametrize(("size", "scales"), [(16, 2), (32, 3), (64, 4), (128, 5)])
def test_networks_follow_the_side_and_epochs_the_number_of_images(size, scales, folder):
    config = mine.read_config(Path("config").joinpath)
    overlay = mine.overlay_of(config, "cpu", "x", {"kind": "folder", "root": "/x", "size": size}, COUNTS)
    config = mine.merge(config, overlay)
    vae, ours, glow = (resolve(config, "cpu", "x", model, 0) for model in ("vae", "vaeglow", "glow"))
    assert vae["network"]["num_scale"] == ours["base"]["network"]["num_scale"] == glow["network"]["levels"] == scales
    usual = [resolve(config, "cpu", "photos32", model, 0)["training"] for model in ("vae", "vaeglow", "glow")]
    epochs = [run["training"]["epochs"] for run in (vae, ours, glow)]
    assert epochs == [38 * training["epochs"] for training in usual] and ours["base"]["training"] == vae["training"]
    assert glow["training"]["warmup_epochs"] == 38 * usual[2]["warmup_epochs"]


COUNTS = {"train": 500, "val": 0, "test": 2000}


def test_grey_images_make_grey_models_and_leave_out_what_cannot_take_them(tmp_path, folder, capsys):
    pictures(tmp_path / "grey/train", 80, "L", "RGB")
    pictures(tmp_path / "grey/test", 20, "LA")
    _, said, overlay = made(capsys, str(tmp_path / "grey"), "--size", "8")
    assert len(said) == 3 and "vaeglow_as_written cannot split one channel" in said[0] and said[0].endswith("left out")
    assert overlay["datasets"]["grey_8"]["channels"] == 1 and "test_fraction" not in overlay["datasets"]["grey_8"]
    rows = [row for section in ("tables", "figures") for entry in overlay[section].values() for row in entry["rows"]]
    assert {row.get("model") for row in rows} == {None, "vae", "vaeglow", "glow"}


def test_an_overlay_that_is_there_is_used_as_it_is(tmp_path, folder, capsys):
    name, *_ = made(capsys, str(folder), "--size", "8")
    path = Path(f"config/mine/{name}-demo.yaml")
    edited = path.read_text().replace("warmup_epochs: 0", "warmup_epochs: 1")
    path.write_text(edited)
    _, said, _ = made(capsys, "My Pictures!", "--size", "8")
    assert "is there and used as it is" in said[0] and path.read_text() == edited
    with pytest.raises(UserError, match=r"my_pictures_8-demo\.yaml is of .*: delete it, or give .* another name"):
        mine.main([str(pictures(tmp_path / "other/my pictures", 100, "RGB")), "--size", "8"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: folder", "kind: foldr", r"my_pictures_8-demo\.yaml: .*foldr.*: correct it, or delete it"),
        ("tables:", "tables: [", r"my_pictures_8-demo\.yaml: .*line \d+.*: correct it, or delete it"),
        (
            "tables:\n  my_",
            "tables:\n  your_",
            r"my_pictures_8-demo\.yaml lacks the dataset or the table my_pictures_8: delete",
        ),
    ],
)
def test_an_edit_that_breaks_the_overlay_is_one_line(old, new, says, folder, capsys):
    name, *_ = made(capsys, str(folder), "--size", "8")
    path = Path(f"config/mine/{name}-demo.yaml")
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=says) as error:
        mine.main([str(folder), "--size", "8"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([""], "make mine IMAGES="),
        (["nowhere"], r"nowhere is not a folder: correct the path"),
        (["few"], r"few: 79 images train and 20 test: 80 and 20 are needed, 100 in one folder"),
        (["none"], "holds no image files"),
        (["few", "--size", "48"], r"SIZE=48: the networks take a side that is a power of two, such as 32, 64 or 128"),
        (["broken"], r"broken/\S+\.png: .+: repair or remove it"),
        (["My Pictures!", "--preset", "dmeo"], r"unknown preset 'dmeo' \(did you mean 'demo'\?\)"),
    ],
)
def test_a_slip_is_one_line_and_writes_nothing(words, says, folder):
    pictures(Path("few"), 99, "L")
    for path in pictures(Path("broken"), 110, "L").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    Path("none").mkdir()
    with pytest.raises(UserError, match=says) as error:
        mine.main(words)
    assert "\n" not in str(error.value) and not Path("config/mine").exists()
