"""`python -m vaeglow`: samples, the quality of anybody's samples, what a file is, and what each refuses in one line."""

import io
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fid_tools import pixels, write_pngs
from PIL import Image
from run_tools import SIZE, Run, blobs, refused, run_step
from waiting import call

import vaeglow
from vaeglow import __main__ as command
from vaeglow.data.arrays import open_split
from vaeglow.evaluation import inception
from vaeglow.files import read_json

Said = Callable[..., list[str]]


@pytest.fixture
def said(monkeypatch, capsys, tmp_path) -> Said:
    """`said("sample", model)`: the lines that a command prints, or that of its error, in a new folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["vaeglow", *map(str, words)])
        try:
            command.main()
        except SystemExit as end:
            assert end.code == 2
            output = capsys.readouterr()
            (line,) = output.err.splitlines()
            assert line.startswith("error: ")
            return [line]
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def features(monkeypatch) -> None:
    """Stands for Inception, its weights and all: features are the pixels."""
    monkeypatch.setattr(inception, "load_inception", lambda path, features, device: pixels)


def values(lines: list[str]) -> dict[str, str]:
    """{FID: ..., KID: ...}: the words after the first of each line."""
    return dict(line.split(maxsplit=1) for line in lines)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_samples_in_a_folder_are_the_models_and_what_is_there_stays(said, vaeglow_run):
    (line,) = said("sample", vaeglow_run.model, "--count", 5, "--temperature", 0.5, "--seed", 3)
    assert line.startswith(
        "samples: 5 images at temperature 0.5, seed 3, of <vaeglow.Model: preset tiny, dataset blobs"
    )
    drawn = vaeglow.load(vaeglow_run.model).sample(5, 0.5, 3).numpy().transpose(0, 2, 3, 1)
    names = [f"{number:05}.png" for number in range(5)]
    assert sorted(path.name for path in Path("samples").iterdir()) == names
    assert all(np.array_equal(Image.open(f"samples/{name}"), image) for name, image in zip(names, drawn, strict=True))
    (line,) = said("sample", vaeglow_run.model)
    assert line == "error: samples already exists: give a new or empty folder, or a .png file"
    assert sorted(path.name for path in Path("samples").iterdir()) == names and len(list(Path().iterdir())) == 1
    Path("empty").mkdir()
    said("sample", vaeglow_run.model, "--output", "empty", "--count", 1)
    assert len(list(Path("empty").iterdir())) == 1 and sorted(map(str, Path().iterdir())) == ["empty", "samples"]


def test_a_grid_of_samples(said, vaeglow_run):
    for words, file in ((["--grid"], "samples.png"), (["--output", "a/b.png"], "a/b.png")):
        assert said("sample", vaeglow_run.model, "--count", 5, *words)[0].startswith(f"{file}: 5 images")
        assert Image.open(file).size == (3 * SIZE + 2, 2 * SIZE + 1)
    Path("c.png").mkdir()
    assert "c.png already exists" in said("sample", vaeglow_run.model, "--output", "c.png")[0]


def test_a_score_is_what_the_steps_measure(said, blobs_dir, vae_run, inception_file):
    """From the model, and from its samples as files."""
    machine = {"batch_size": 100, "device": "cpu", "threads": 1}
    protocol = {"protocol": "test-8-2048", "split": "test", "images": 8, "features": 2048, "sets": 1}
    run_step("sample", model=vae_run.model, temperature=0.5, count=8, shown=1, device="cpu", output="s/T0.5.npz")
    run_step("fid_reference", data_dir=blobs_dir, **protocol, weights=inception_file, **machine, output="r.npz")
    files = {"samples": "s/T0.5.npz", "reference": "r.npz", "weights": inception_file}
    run_step("evaluate", **files, **machine, output="m.json")
    wanted = read_json("m.json")
    lines = said("score", vae_run.model, blobs_dir, "--temperature", 0.5, "--count", 8, "--weights", inception_file)
    found = values(lines)
    assert found["reference"] == "the test split of blobs"
    assert found["protocol"].startswith("8 samples, 8 real images, 2048 features; fewer images than features")
    assert found["FID"] == f"{wanted['fid']:.3f}"
    assert found["KID"] == f"{wanted['kid']:.5f} (standard error {wanted['kid_standard_error']:.5f})"
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name] == f"{wanted[name]:.3f}"


def test_a_score_does_not_depend_on_the_form_of_the_images(said, blobs_dir, vae_run, features):
    images = vaeglow.load(vae_run.model).sample(12).numpy()
    test = np.array(open_split(blobs_dir, "test"))
    samples = [vae_run.model, npz(Path("a.npz"), images=images), write_pngs(Path("c/deep"), images).parent]
    samples.append(npz(Path("d.npz"), arr_0=images.transpose(0, 2, 3, 1), arr_1=np.arange(12)))
    references = [blobs_dir, npz(Path("e.npz"), train=images, test=test), write_pngs(Path("f"), test)]
    scores = {tuple(said("score", one, other)[2:]) for one in samples for other in references}
    assert len(scores) == 1
    half = values(said("score", "c", "f", "--count", 6))
    assert half["protocol"].startswith("6 samples, 6 real images") and half["FID"] != values(*scores)["FID"]
    uneven = values(said("score", npz(Path("g.npz"), samples=images[:7]), "f"))
    assert uneven["protocol"].startswith("7 samples, 12 real images")


def test_grey_images_and_oblong_ones_are_scored(said, features):
    grey = blobs(8, 3)[:, 0]
    write_pngs(Path("rgb"), np.repeat(grey[:, None], 3, 1))
    Path("grey").mkdir()
    for number, image in enumerate(grey):
        Image.fromarray(image).save(f"grey/{number}.png")
    assert values(said("score", npz(Path("grey.npz"), arr_0=grey), "rgb"))["FID"] == "0.000"
    assert values(said("score", "grey", "rgb"))["FID"] == "0.000"
    write_pngs(Path("oblong"), blobs(8, 3)[:, :, :5])
    assert values(said("score", "oblong", "oblong"))["FID"] == "0.000"


def test_what_cannot_be_scored(said, features, blobs_dir, vae_run):
    images = blobs(8, 3)
    folder = write_pngs(Path("good"), images)
    for name, spoil in {
        "mixed": lambda path: Image.new("RGB", (9, 8)).save(path / "x.png"),
        "text": lambda path: (path / "x.png").write_text("no image"),
        "few": lambda path: [file.unlink() for file in list(path.iterdir())[1:]],
        "empty": lambda path: [file.unlink() for file in path.iterdir()],
    }.items():
        spoil(write_pngs(Path(name), images))
    Path("x.safetensors").write_text("none")
    Path("x.png").write_bytes(b"none")
    for samples, says in {
        "mixed": r"whole images of one size are needed, not mixed/0.*\(8x8\), mixed/x.png \(9x8\): repair, resize",
        "text": r"text/x.png \(not an image\)",
        "few": "few has 1 images, this comparison needs 6",
        "empty": "empty holds no image files",
        "nowhere": "nowhere is not a file",
        "x.png": "x.png is not a complete .npz file",
        "x.safetensors": "truncated or not a safetensors file",
        npz(Path("float.npz"), images=images / 255): "array images is float64, not uint8: use levels",
        npz(Path("nan.npz"), images=np.full((8, 3, 8, 8), np.nan)): "array images is float64, not uint8",
        npz(
            Path("four.npz"), images=np.zeros((8, 4, 8, 8), np.uint8)
        ): r"array images is \[8, 4, 8, 8\], not .* of 1 or 3",
        npz(Path("none.npz"), images=images[:0]): r"array images is \[0, 3, 8, 8\], not",
        npz(Path("one.npz"), images=images[:1]): "one.npz has 1 images",
        npz(Path("flat.npz"), arr_0=np.arange(8).astype(np.uint8)): r"array arr_0 is \[8\], not",
        npz(Path("named.npz"), faces=images): "has no array images or samples or arr_0 or test: give its",
        npz(Path("large.npz"), images=blobs(8, 3, size=16)): r"sizes differ, \(16, 16\) of samples and \(8, 8\)",
    }.items():
        (line,) = said("score", samples, folder)
        assert re.search(says, line), line
    for count, says in {
        9: "good has 8 images, this comparison needs 9: give more, or another --count",
        5: "--count 5: this comparison needs 6 images or more",
        -1: "--count -1: this comparison needs 6 images or more",
    }.items():
        assert says in said("score", folder, folder, "--count", count)[0]
    assert "blobs has 12 images, this" in said("score", vae_run.model, blobs_dir, "--count", 13)[0]


@pytest.mark.parametrize("words", [("sample",), ("score", "good")])
def test_the_device_is_the_one_asked_for(words, said, vae_run):
    write_pngs(Path("good"), blobs(8, 3))
    (line,) = said(words[0], vae_run.model, *words[1:], "--device", "gpu")
    assert "unknown device 'gpu'" in line


def test_without_weights_one_line_says_what_makes_them(said, monkeypatch, tmp_path, inception_file):
    monkeypatch.setattr(command, "PACKAGE", tmp_path / "checkout/vaeglow")
    (line,) = said("score", "a", "b")
    assert line.endswith("run `snakemake --cores 1 resources/weights/inception-2015-12-05.safetensors`")
    weights = tmp_path / "checkout" / command.WEIGHTS  # the checkout's own serve any folder
    weights.parent.mkdir(parents=True)
    shutil.copy(inception_file, weights)
    (line,) = said("score", "a", "b")
    assert line.startswith("error: b ")


def test_info_of_a_model_and_of_results(said, vaeglow_run, results_tree):
    first, *rest = said("info", vaeglow_run.model)
    assert first == repr(vaeglow.load(vaeglow_run.model))
    about = yaml.safe_load("\n".join(rest))
    wanted = vaeglow_run.summary()
    for key in ("preset", "dataset", "model", "seed", "config_sha256", "data_sha256", "weights_sha256"):
        assert about[key] == wanted[key]
    assert about["provenance"]["commit"] and about["base_sha256"] and len(rest) < 40
    Path("other name.safetensors").write_bytes(vaeglow_run.model.read_bytes())
    assert said("info", "other name.safetensors") == [first, *rest]
    below = results_tree / "results/tiny/blobs/vae/seed0"
    for name in ("training.json", "metrics/test-12-64/T0.0.json", "samples/T0.0.npz"):
        about = yaml.safe_load("\n".join(said("info", below / name)))
        assert about["dataset"] == "blobs" and about["inputs"] and about["provenance"]["content_sha256"]


def test_what_info_refuses(said, vae_run):
    changed = read_json(vae_run.training) | {"parameters": 1}
    Path("changed.json").write_text(yaml.safe_dump(changed, default_flow_style=True, width=10**6))
    buffer = io.BytesIO()
    torch.save({}, buffer)
    Path("x.pt").write_bytes(buffer.getvalue())
    for file, says in {
        "changed.json": "changed.json is not",
        "x.pt": "x.pt is neither a model nor a result",
        vae_run.folder / "config.json": "is neither a model nor a result",
        "nowhere.json": "nowhere.json does not exist",
        npz(Path("x.npz"), images=blobs(2, 0)): "is damaged or not a result",
    }.items():
        assert says in said("info", file)[0]
    assert "x.pt is not a trained model" in said("sample", "x.pt")[0]
    assert "nowhere.safetensors is missing" in said("sample", "nowhere.safetensors")[0]
    for words, says in ((["--count", 0], "0 samples"), (["--temperature", "nan"], "temperature nan is not")):
        assert says in said("sample", vae_run.model, *words)[0]


def test_as_a_process(vae_run: Run):
    assert "is missing" in refused(call([sys.executable, "-m", "vaeglow", "info", "nowhere.safetensors"]))
    helped = call([sys.executable, "-m", "vaeglow", "--help"])
    assert helped.returncode == 0 and all(name in helped.stdout for name in ("sample", "score", "info"))
