"""`python -m vaeglow`: samples, the quality of anybody's samples, what a file is, and what each refuses in one line."""

import re
import shutil
import sys
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from fid_tools import pixels, write_pngs
from PIL import Image
from pytorch_fid import fid_score
from refusals import error_line
from run_tools import SIZE, blobs, run_step, shipped_config
from waiting import ROOT, Row, python, said, text_of

import vaeglow
from vaeglow import paths, released
from vaeglow.commands import images
from vaeglow.data.arrays import open_split
from vaeglow.evaluation import fid, inception
from vaeglow.files import read_json, write_json
from vaeglow.paths import IDENTITY


@pytest.fixture
def features(monkeypatch) -> None:
    """Stands for Inception, its weights and all: features are the pixels."""
    monkeypatch.setattr(images, "inception", lambda path: path)
    for module in (inception, fid):  # imported before: else fid would keep the stand-in
        monkeypatch.setattr(module, "load_inception", lambda path, features, device: pixels)


class Pixels(torch.nn.Module):
    """Stands for pytorch-fid's Inception in the same way."""

    BLOCK_INDEX_BY_DIM: ClassVar = {192: 0}

    def __init__(self, blocks: object) -> None:
        super().__init__()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return pixels(images)


def values(lines: list[str]) -> Row:
    """{FID: ..., KID: ...}: the words after the first of each line."""
    return dict(line.split(maxsplit=1) for line in lines)


def npz(name: str, **arrays: np.ndarray) -> str:
    np.savez(name, **arrays)
    return f"{name}.npz"


def test_samples_in_a_folder_are_the_models_and_what_is_there_stays(run, vaeglow_run):
    (line,) = run("sample", vaeglow_run.model, "--count", 5, "--temperature", 0.5, "--seed", 3)
    assert line.startswith(
        "samples: 5 images at temperature 0.5, seed 3, of <vaeglow.Model: preset tiny, dataset blobs"
    )
    drawn = vaeglow.load(vaeglow_run.model).sample(5, 0.5, 3).numpy().transpose(0, 2, 3, 1)
    for number, image in enumerate(drawn):
        assert np.array_equal(Image.open(f"samples/{number:05}.png"), image)
    (line,) = run("sample", vaeglow_run.model)
    assert line == "error: samples already exists: give a new or empty folder, or a .png file"
    (line,) = run("sample", vaeglow_run.model, "--count", 0)  # where they go is checked first
    assert line == "error: samples already exists: give a new or empty folder, or a .png file"
    Path("empty").mkdir()
    run("sample", vaeglow_run.model, "--output", "empty", "--count", 1)
    samples = {f"samples/{number:05}.png" for number in range(5)}
    assert {*map(str, Path().rglob("*"))} == {"samples", *samples, "empty", "empty/00000.png"}


def test_a_grid_of_samples(run, fails, vaeglow_run):
    for words, file in ((["--grid"], "samples.png"), (["--output", "a/b.png"], "a/b.png")):
        (line,) = run("sample", vaeglow_run.model, "--count", 5, *words)
        assert line.startswith(f"{file}: 5 images") and Image.open(file).size == (3 * SIZE + 2, 2 * SIZE + 1)


def test_a_score_is_what_the_steps_measure(run, features, blobs_dir, vae_run):
    """From the model, and from its samples as files."""
    machine = {"batch_size": 100, "device": "cpu", "threads": 1}
    protocol = {"protocol": "test-8-2048", "split": "test", "images": 8, "features": 2048, "sets": 1}
    Path("weights").touch()
    run_step("sample", model=vae_run.model, temperature=0.5, count=8, shown=1, device="cpu", output="s/T0.5.npz")
    run_step("fid_reference", data_dir=blobs_dir, **protocol, weights="weights", **machine, output="r.npz")
    run_step("evaluate", samples="s/T0.5.npz", reference="r.npz", weights="weights", **machine, output="m.json")
    wanted = read_json("m.json")
    found = values(run("score", vae_run.model, blobs_dir, "--temperature", 0.5, "--count", 8))
    assert found["reference"] == "the test split of blobs"
    assert found["protocol"].startswith("8 samples, 8 real images, 2048 features; fewer images than features")
    assert found["FID"] == f"{wanted['fid']:.3f}"
    assert found["KID"] == f"{wanted['kid']:.5f} (standard error {wanted['kid_standard_error']:.5f})"
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name] == f"{wanted[name]:.3f}"


def test_a_score_does_not_depend_on_the_form_of_the_images(run, blobs_dir, vae_run, features):
    images = vaeglow.load(vae_run.model).sample(12).numpy()
    test = np.array(open_split(blobs_dir, "test"))
    samples = [
        vae_run.model,
        npz("a", images=images),
        npz("b", arr_0=images.transpose(0, 2, 3, 1), arr_1=np.arange(12)),
        write_pngs(Path("c/deep"), images).parent,
    ]
    references = [
        blobs_dir,
        npz("e", train=images, test=test),
        write_pngs(Path("f"), test),
    ]
    scores = {tuple(run("score", *files)[2:]) for files in product(samples, references)}
    assert len(scores) == 1
    half = values(run("score", "c", "f", "--count", 6))
    assert half["protocol"].startswith("6 samples, 6 real images")
    train = npz("train", images=np.array(open_split(blobs_dir, "train")))
    assert values(run("score", blobs_dir, train, "--split", "train"))["FID"] == "0.000"


def test_statistics_are_those_of_pytorch_fid(run, features, monkeypatch):
    """Written here and there, read here and there, on either side."""
    monkeypatch.setattr(images, "FEATURES", 192)  # pixels of 8x8 images
    monkeypatch.setattr(fid_score, "InceptionV3", Pixels)
    drawn = write_pngs(Path("drawn"), blobs(220, 1))
    real = write_pngs(Path("real"), blobs(210, 2))
    for folder in ("drawn", "real"):
        fid_score.save_fid_stats([folder, f"{folder}.npz"], 50, "cpu", 192, 0)
    whole = values(run("score", drawn, real, "--save-statistics", "ours.npz"))
    ours, theirs = np.load("ours.npz"), np.load("real.npz")
    for name in ("mu", "sigma"):
        assert ours[name].dtype == np.float64
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-6)
    for files in product((drawn, "drawn.npz"), (real, "real.npz", "ours.npz")):
        lines = run("score", *files)
        assert f"FID        {whole['FID']}" in lines
    assert lines[-1].startswith("no KID, precision, recall,")


def test_statistics_that_cannot_be_compared(fails, features, vae_run, monkeypatch):
    monkeypatch.setattr(images, "FEATURES", 4)
    folder = write_pngs(Path("good"), blobs(8, 3))
    good = npz("good", mu=np.zeros(4), sigma=np.eye(4))
    for file, says in {
        npz("early", mu=np.zeros(3), sigma=np.eye(3)): r"mu and sigma are \[3\] and \[3, 3\], not of 4",
        npz("flat", mu=np.zeros(4), sigma=np.ones(4)): r"\[4\] and \[4\], not of 4",
        npz("nan", mu=np.full(4, np.nan), sigma=np.eye(4)): "nan.npz: mu and sigma are not a finite",
        npz("half", mu=np.zeros(4)): "half.npz has no array images",
        npz("objects", mu=np.array([None]), sigma=np.eye(2)): "objects.npz is damaged: write it again",
        npz("skew", mu=np.zeros(4), sigma=np.triu(np.ones((4, 4)))): "skew.npz: mu and sigma are not",
        npz("below", mu=np.zeros(4), sigma=-np.eye(4)): "below.npz: mu and sigma are not",
    }.items():
        fails(says, "score", folder, file)
        fails(says, "score", file, folder)
    fails("how many samples of .*: give --count", "score", vae_run.model, good)
    for file in (good, "statistics.txt", "nowhere/statistics.npz"):
        fails("give the name of a new file that ends in .npz", "score", folder, folder, "--save-statistics", file)


def test_grey_images_and_oblong_ones_are_scored(run, features):
    grey = blobs(8, 3)[:, 0]
    rgb = write_pngs(Path("rgb"), np.repeat(grey[:, None], 3, 1))
    assert values(run("score", npz("grey", arr_0=grey), rgb))["FID"] == "0.000"
    oblong = write_pngs(Path("oblong"), blobs(8, 3)[:, :, :5])
    assert values(run("score", oblong, oblong))["FID"] == "0.000"
    assert float(values(run("score", oblong, rgb, "--size", 8))["FID"]) > 0


def test_what_cannot_be_scored(fails, features, blobs_dir, vae_run):
    """Arrays and pictures that will not do: tests/data."""
    images = blobs(8, 3)
    folder = write_pngs(Path("good"), images)
    Image.new("RGB", (9, 8)).save(write_pngs(Path("mixed"), images) / "x.png")
    write_pngs(Path("few"), images[:1])
    write_pngs(Path("empty"), images[:0])
    Path("x.safetensors").write_text("none")
    Path("x.png").write_bytes(b"none")
    for samples, says in {
        "mixed": r"mixed: images of one size are needed, not 0.*\(8x8\), x.png \(9x8\): remove some, or",
        "few": "few has 1 images, this comparison needs 6",
        "empty": "empty holds no image files",
        "x.png": "x.png is not a complete .npz file",
        "x.safetensors": "truncated or not a safetensors file",
        "nowhere": "nowhere does not exist, nor is it a trained model's name",
        npz("float", images=images / 255): "array images is float64, not uint8: use levels",
        npz("four", images=np.zeros((8, 4, 8, 8), np.uint8)): r"array images is \[8, 4, 8, 8\], not .* of 1 or 3",
        npz("none", images=images[:0]): r"array images is \[0, 3, 8, 8\], not",
        npz("flat", arr_0=np.arange(8).astype(np.uint8)): r"array arr_0 is \[8\], not",
        npz("named", faces=images): "has no array images or samples or arr_0 or test: give its",
        npz("large", images=blobs(8, 3, size=16)): r"sizes differ, \(16, 16\) of samples and \(8, 8\)",
    }.items():
        fails(says, "score", samples, folder)
    fails("good has 8 images, this comparison needs 9: give more, or", "score", folder, folder, "--count", 9)
    fails(r"--size 16: .* images of x.npz are \(8, 8\)", "score", npz("x", images=images), folder, "--size", 16)
    fails("--count 5: this comparison needs 6 images or more", "score", folder, folder, "--count", 5)
    fails("blobs has 12 images, this", "score", vae_run.model, blobs_dir, "--count", 13)
    fails("unknown device 'gpu'", "score", vae_run.model, folder, "--device", "gpu")


def test_inceptions_weights_are_the_clones_or_fetched_once(fails, monkeypatch, tmp_path, inception_file, capsys):
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "config", checkout / "config")
    monkeypatch.setattr(paths, "PACKAGE", checkout / "vaeglow")
    monkeypatch.setattr(images, "user_cache_path", lambda name: tmp_path / name)
    fetched = []

    def fetch(settings: Row, output: Path) -> None:
        fetched.append(settings)
        output.parent.mkdir()
        shutil.copy(inception_file, output)

    monkeypatch.setattr(images.inception_weights.main, "__wrapped__", fetch)
    Path("a").mkdir()
    fails("nowhere does not exist: correct the path", "score", "a", "a", "--weights", "nowhere")
    fails("^error: a ", "score", "a", "a", "--weights", inception_file)
    cached = images.inception(images.WEIGHTS)
    assert capsys.readouterr().err == f"{cached}: Inception's weights are fetched, once\n"
    assert fetched == [shipped_config()["evaluation"]["inception"]]
    fails("^error: a ", "score", "a", "a")
    shutil.rmtree(tmp_path / "vaeglow")
    weights = checkout / images.WEIGHTS  # the checkout's own serve any folder
    weights.parent.mkdir(parents=True)
    shutil.copy(inception_file, weights)
    fails("^error: a ", "score", "a", "a")
    assert len(fetched) == 1


def test_info_of_a_model_and_of_results(run, vaeglow_run, results_tree):
    first, *rest = run("info", vaeglow_run.model)
    assert first == repr(vaeglow.load(vaeglow_run.model))
    about = yaml.safe_load("\n".join(rest))
    hashes = ("config_sha256", "data_sha256", "weights_sha256")
    assert about.items() >= {key: vaeglow_run.summary()[key] for key in (*IDENTITY, *hashes)}.items()
    assert about["provenance"]["commit"] and about["base_sha256"] and len(rest) < 40
    for name in ("training.json", "samples/T0.0.npz"):
        about = yaml.safe_load("\n".join(run("info", results_tree / "results/tiny/blobs/vae/seed0" / name)))
        assert about["dataset"] == "blobs" and about["inputs"] and about["provenance"]["content_sha256"]


def test_what_info_and_sample_refuse(fails, vae_run):
    changed = read_json(vae_run.training) | {"parameters": 1}
    write_json("changed.json", changed)
    Path("x.pt").touch()
    for file, says in {
        "changed.json": "changed.json is not",
        "x.pt": "x.pt is neither a model nor a result",
        vae_run.folder / "config.json": "is neither a model nor a result",
        "nowhere.json": "nowhere.json does not exist",
    }.items():
        fails(says, "info", file)
    fails("x.pt is not a trained model", "sample", "x.pt")
    fails("nowhere.safetensors is missing", "sample", "nowhere.safetensors")
    fails("temperature nan is not", "sample", vae_run.model, "--temperature", "nan")


def test_a_trained_model_by_its_name(run, fails, features):
    path = released.shipped(released.read_list()["models"]["photos32/vaeglow"]["path"])
    for words in (("sample", "--grid"), ("info",), ("card",)):
        named = run(words[0], "photos32/vaeglow", *words[1:])
        assert named == run(words[0], path, *words[1:]) and "vaeglow.Model: preset demo" in "".join(named)
    fails(r"photo32/vaeglow does not exist, nor .* \(did you mean 'photos32/vaeglow'", "info", "photo32/vaeglow")
    real = npz("r", images=vaeglow.load(path, "cpu").sample(8).numpy())
    assert values(run("score", "photos32/vaeglow", real))["FID"] == "0.000"


def test_the_list_of_trained_models(run):
    lines = run("models")
    assert "\n".join(["$ vaeglow models", *lines]) in text_of("docs/models.md")
    for name, entry in released.read_list()["models"].items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        bits = entry["likelihood"]
        assert f"{bits['bits_per_dim']:.3f} ({bits['images']:,} {bits['split']})" in line and line.endswith("MIT")
        lowest = min([row["fid"] for row in entry["quality"]], default=None)
        assert lowest is None or f"  {lowest:.1f} (T=" in line


@pytest.mark.parametrize("name", released.read_list()["models"])
def test_a_card_says_what_the_list_says(name, run):
    run("card", name, "--output", "README.md")
    _, head, text = Path("README.md").read_text().split("---\n", 2)
    entry = released.read_list()["models"][name]
    about = yaml.safe_load(head)
    assert about["license"] == "mit" and about["library_name"] == "vaeglow" and about["datasets"]
    (index,) = about["model-index"]
    assert index["name"] == name and f'vaeglow.load("{name}")' in text
    for result, measured in zip(index["results"], [*entry["quality"], entry["likelihood"]], strict=True):
        assert result["dataset"]["split"] == measured["split"]
        for metric in result["metrics"]:
            assert metric["type"] in about["metrics"] and metric["args"].items() <= measured.items()
            assert metric["value"] == measured[metric["type"]]
    for row in entry["quality"]:
        assert f"| {row['temperature']} | {row['fid']:.2f} | {row['kid']:.4f} " in text
    assert f"{entry['train_seconds']:,.0f} CPU seconds" in text and f"{entry['train_images']:,} training images" in text
    paper = yaml.safe_load(text_of("CITATION.cff"))["preferred-citation"]
    assert paper["title"] in text and paper["journal"] in text


def test_the_card_of_a_run_of_ones_own(run, fails, vae_run):
    text = "\n".join(run("card", vae_run.model))
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "unknown" and head["metrics"] == [] and "# tiny/blobs/vae/seed0" in text
    assert f'vaeglow.load("{vae_run.model}")' in text and "FID and KID: not measured" in text
    fails("training.json is not a trained model", "card", vae_run.training)


def test_as_a_process():
    assert "is missing" in error_line(said(python("-m", "vaeglow", "info", "nowhere.safetensors"), 2))
    helped = said(python("-m", "vaeglow", "--help"))
    assert all(name in helped for name in ("train", "sample", "score", "info", "models", "card", "run", "init"))


OVERFLOWS = """
import torch
from vaeglow.__main__ import main
from vaeglow.models.glow import Glow
plain = Glow.sample
Glow.sample = lambda *words: plain(*words).index_fill(0, torch.tensor([1]), torch.inf)
main()
"""


def test_a_warning_is_a_note(glow_run, tmp_path):
    done = python("-c", OVERFLOWS, "sample", glow_run.model, "--count", "4", "--grid", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search("^note: 1 of 4 samples overflowed and were clipped$", done.stderr, re.MULTILINE)


def test_a_folder_of_images_becomes_a_model(run, fails):
    write_pngs(Path("photos"), blobs(9, 3))
    Path("photos/9.png").write_text("none")
    fails(
        "photos: 1 of 10 image files are broken, such as 9.png: not an image: repair or remove them$", "train", "photos"
    )
    fails("photos/9.png is not a folder of images: correct the path", "train", "photos/9.png")
    Path("photos/9.png").unlink()
    fails("--size -1: give the side of the images", "train", "photos", "--size", -1)
    fails("photos/0.*png is a file: name a folder", "train", "photos", "--folder", next(Path("photos").iterdir()))
    words = ("train", "photos", "--model", "vae", "--size", 8, "--seed", 3, "--folder", "kept")
    last = run(*words)[-1]
    assert last == f"model.safetensors: {vaeglow.load('model.safetensors')}"
    assert "model vae, seed 3" in last and "images 3x8x8" in last
    fails("--output model.safetensors: name a new file, such as model_2.safetensors", *words)
    again = run(*words, "--output", "b.safetensors")
    assert not [line for line in again if "epoch 1/" in line]  # trained already, in its folder
    assert again[-1].startswith("b.safetensors: ")
    fails("--output b.pt: name a new file", *words, "--output", "b.pt")


def test_grey_images_become_a_grey_model_trained_for_so_many_epochs(run):
    write_pngs(Path("photos"), np.repeat(blobs(9, 1)[:, :1], 3, 1))
    last = run("train", "photos", "--model", "vae", "--size", 8, "--epochs", 3)[-1]
    assert "3 epochs" in last and last.endswith("images 1x8x8>")


def test_run_is_snakemake_on_the_workflow_and_the_folders_own_config(run, fails, monkeypatch):
    calls = []
    monkeypatch.setattr("os.execv", lambda program, words: calls.append(words))
    run("run", "results/table2.csv", "-n", "--cores", 4, "--", "b")
    start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    assert calls == [[*start, "results/table2.csv", "-n", "--cores", "4", "--", "b"]]
    fails("x after --config is not KEY=VALUE", "run", "--config", "x")
    done = python("-m", "vaeglow", "run")
    assert done.returncode == 2 and "arguments are required: words" in done.stderr
    monkeypatch.setitem(sys.modules, "snakemake", None)
    fails(re.escape('pip install "vaeglow[workflow]"'), "run", "results/table2.csv")


def test_init_copies_what_is_edited_and_overwrites_nothing(run, fails):
    assert "yours to edit" in run("init")[0]
    for name in ("config/models.yaml", "config/reference/demo.csv", "profiles/style.css"):
        assert Path(name).read_bytes() == (ROOT / name).read_bytes()
    assert not Path("config/mine").exists()
    shutil.rmtree("config")
    fails("profiles is already here", "init")
    assert not Path("config").exists()
