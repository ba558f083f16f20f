"""The steps fid_reference, evaluate and evaluate_snapshots end to end: what they measure, record and refuse."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from data_tools import prepared
from fid_tools import one_line
from numpy.testing import assert_array_equal
from pytest import approx
from refusals import user_error
from run_tools import Run, resolved, run_step, save_model
from table_tools import save

from benchmarks.work import photographs
from vaeglow.data.arrays import read_info
from vaeglow.evaluation.bootstrap import sample_draws
from vaeglow.evaluation.fid import Reference, gaussian_images, image_features
from vaeglow.evaluation.inception import load_inception
from vaeglow.files import sha256_json
from vaeglow.results import Result, read_result
from vaeglow.training import checkpoint
from vaeglow.training.checkpoint import read_snapshots
from vaeglow.weights import load_model

CPU = torch.device("cpu")
COMMON = {"batch_size": 4, "device": "cpu"}
SIX = {
    "protocol": "test-6-64",
    "split": "test",
    "images": 6,
    "features": 64,
    "sets": 1,
}
EIGHT = SIX | {"protocol": "test-8-64", "images": 8}
ABOUT = yaml.safe_load("""  # what made-up samples say of themselves
  {preset: demo, dataset: tiny, model: vae, seed: 0, temperature: 0.5, inputs: {}, config_sha256: c, weights_sha256: w,
  provenance: {a: 1}}
""")
SPREAD = [0, 1, 2, 4, 5, 6]  # six of eight images
KEYS = ("fid", "kid", "kid_standard_error")


@dataclass
class Lab:
    """The steps on one dataset, all files in one folder."""

    data: Path
    weights: Path
    folder: Path

    @property
    def compared(self) -> Path:
        return self.folder / "reference.npz"

    def run(self, step: str, output: str, **options: object) -> Result:
        path = self.folder / output
        run_step(step, weights=self.weights, **COMMON, output=path, **options)
        return read_result(path, None)

    def reference(self, protocol: dict = SIX, /, **options: object) -> Reference:
        real = self.run("fid_reference", "reference.npz", data_dir=self.data, threads=1, **protocol | options)
        return Reference(real, load_inception(self.weights, 64, "cpu"), 4, "cpu")

    def samples(self, images: np.ndarray, **changes: object) -> Path:
        about = ABOUT | {"data_sha256": sha256_json(read_info(self.data)["sha256"])} | changes
        save(self.folder / "samples.npz", about, {"images": images})
        return self.folder / "samples.npz"

    def evaluate(self, samples: Path) -> Result:
        return self.run(
            "evaluate",
            "metrics.json",
            samples=samples,
            reference=self.compared,
            threads=1,
        )


@pytest.fixture
def lab(inception_file: Path, tmp_path: Path) -> Lab:
    data = prepared(
        tmp_path / "tiny",
        train=photographs(2),
        val=photographs(1),
        test=photographs(8),
    )
    return Lab(data, inception_file, tmp_path)


def test_the_steps_measure_and_record(lab):
    """What the functions say that `test_fid.py` tries."""
    images = photographs(9, seed=5)
    compared = lab.reference()
    samples = lab.samples(images)
    measured = lab.evaluate(samples)
    real = compared.real
    wanted = image_features(photographs(8)[SPREAD], compared.net, 4, "cpu")
    for name, array in wanted.items():
        assert_array_equal(real.arrays[name], array)
    assert SIX.items() <= real.content.items()
    features, wanted = compared.measure_sets(images)
    wanted |= yaml.safe_load("""
      {protocol: test-6-64, split: test, fid_samples: 6, fid_features: 64, fid_reference_images: 6, preset: demo,
      dataset: tiny, model: vae, seed: 0, temperature: 0.5, samples_provenance: {a: 1}}
    """)
    assert wanted.items() <= measured.content.items()
    kept = read_result(lab.folder / "metrics.npz", None)
    draws = sample_draws(features, real.arrays["features"], ("tiny", "test-6-64", "vae", 0))
    for name, values in draws.items():
        assert_array_equal(kept.arrays[name], values.astype(np.float32))
        assert values[0] == approx(measured.value(name))


def test_samples_can_be_compared_with_training_images(blobs_dir, inception_file, tmp_path):
    lab = Lab(blobs_dir, inception_file, tmp_path)
    compared = lab.reference(EIGHT | {"protocol": "train-8-64", "split": "train"})
    wanted = image_features(np.load(blobs_dir / "train.npy")[::8], compared.net, 4, "cpu")
    assert_array_equal(compared.real.arrays["features"], wanted["features"])
    measured = lab.evaluate(lab.samples(photographs(8, side=8), dataset="blobs"))
    assert measured.content["split"] == "train"


def test_near_copies_of_training_images_are_left_out_and_exact_ones_refused(inception_file, tmp_path):
    train = photographs(3, seed=5)
    test = photographs(8)
    near = tmp_path / "near.npz"
    options = {
        "device": "cpu",
        "threads": 1,
        "output": near,
    }
    copied = prepared(tmp_path / "copied", train=train, val=train, test=np.concatenate([test, train[1:2]]))
    with user_error("1 test images of copied are in its training set, too"):
        run_step("near_copies", data_dir=copied, **options)
    lab = Lab(prepared(tmp_path / "apart", train=train, val=train, test=test), inception_file, tmp_path)
    run_step("near_copies", data_dir=lab.data, **options)
    distances = read_result(near, ("distances",)).arrays["distances"]
    apart = test.astype(float)[:, None] - train
    np.testing.assert_allclose(distances, np.sqrt(np.square(apart).mean((2, 3, 4))).min(1))
    third = np.sort(distances)[2]  # from there on: the two nearest are left out
    compared = lab.reference(near_copies=[near], apart=third)
    kept = image_features(test[distances >= third], compared.net, 4, "cpu")
    assert_array_equal(compared.real.arrays["features"], kept["features"])


def test_the_floor_is_measured_as_samples_are_and_says_whose_it_is(lab):
    _, fid = lab.reference().fid(gaussian_images(photographs(2), 6, 256))
    entry = {
        "preset": "demo",
        "dataset": "tiny",
        "protocol": "test-6-64",
        "split": "test",
    }
    options = {
        "preset": "demo",
        "data_dir": lab.data,
        "reference": lab.compared,
        "threads": 1,
    }
    measured = lab.run("floor", "floor.json", **options).content
    assert entry.items() <= measured.items()
    assert measured["fid"] == approx(fid)


def test_too_few_samples_for_all_sets_are_refused(lab):
    lab.reference(sets=2)
    with user_error(r"has 9 images, protocol test-6-64 needs 12: choose a protocol with fewer"):
        lab.evaluate(lab.samples(photographs(9)))


def test_a_reference_of_more_images_than_there_are_is_refused(lab):
    says = r"split of tiny has 8 images, protocol test-500-64 needs 500: add .* 6 at least"
    with user_error(says):
        lab.reference(images=500, protocol="test-500-64")
    assert not lab.compared.exists()


@pytest.mark.parametrize(
    "side, changes, says",
    [
        (16, {}, "image_shape is [3, 32, 32], expected [3, 16, 16]"),
        (32, {"data_sha256": "x"}, "expected 'x'"),
        (32, {"dataset": "mine"}, "dataset is 'tiny', expected 'mine'"),
    ],
)
def test_evaluate_refuses_what_does_not_belong_together(side, changes, says, lab):
    lab.reference()
    with user_error(one_line(says)):
        lab.evaluate(lab.samples(photographs(9, side=side), **changes))
    assert not list(lab.folder.glob("metrics*"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, blobs_dir, vae_run) -> Run:
    """A run in two phases whose second kept its weights twice."""
    folder = tmp_path_factory.mktemp("run")
    return Run(folder, resolved("vaeglow", snapshots=[0.25, 0.5]), blobs_dir, vae_run).train()


@pytest.fixture(scope="module")
def blobs_lab(tmp_path_factory, blobs_dir, inception_file) -> Lab:
    """With a reference of eight images."""
    lab = Lab(blobs_dir, inception_file, tmp_path_factory.mktemp("lab"))
    lab.reference(EIGHT)
    return lab


def curve(run: Run, lab: Lab, **changed: object) -> dict:
    files = {
        "model": run.model,
        "snapshots": run.snapshots,
        "data_dir": run.data,
        "reference": lab.compared,
    }
    options = files | {"temperature": 0.5, "likelihood_images": 8} | changed
    return lab.run("evaluate_snapshots", f"{run.folder.name}.json", **options).content


@pytest.fixture(scope="module")
def result(run, blobs_lab) -> dict:
    return curve(run, blobs_lab)


def test_points_are_snapshots_and_the_finished_model(result, run, vae_run, blobs_lab):
    points = result["points"]
    assert [(point["fraction"], point["epoch"]) for point in points] == [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]
    wanted = yaml.safe_load("""
      {protocol: test-8-64, temperature: 0.5, split: test, likelihood_images: 8, fid_samples: 8,
      fid_reference_images: 8, fid_features: 64}
    """)
    assert wanted.items() <= result.items()
    without_snapshots = curve(vae_run, blobs_lab, likelihood_images=500)
    (point,) = without_snapshots["points"]
    assert point["fraction"] == 1
    assert without_snapshots["likelihood_images"] == 12


@pytest.mark.parametrize("which", [0, 2])
def test_each_point_is_what_the_other_steps_say(which, result, run, blobs_lab, tmp_path):
    """The first snapshot and the finished model, through `sample`, `evaluate` and `likelihood`."""
    path = run.model
    point = result["points"][which]
    if which == 0:
        model, about = load_model(run.model, CPU)
        model.load_state_dict(read_snapshots(run.snapshots)[0][1])
        path = tmp_path / "model.safetensors"
        save_model(path, model, about["config"], {"data": about["data"]})
    samples = tmp_path / "samples/T0.5.npz"
    run_step(
        "sample",
        model=path,
        temperature=0.5,
        count=8,
        shown=8,
        device="cpu",
        output=samples,
    )
    measured = blobs_lab.evaluate(samples).content
    for key in (*KEYS, "exploded_samples"):
        assert point[key] == approx(measured[key], rel=1e-6)
    options = COMMON | {
        "importance_samples": 1,
        "importance_images": 1,
        "output": tmp_path / "likelihood.json",
    }
    run_step("likelihood", model=path, data_dir=run.data, **options)
    values = np.load(tmp_path / "likelihood.npz")["bits_per_dim_1"][:8]
    assert point["bits_per_dim"] == approx(values.mean(), rel=1e-6)
    assert point["standard_error"] == approx(values.std(ddof=1) / 8**0.5, rel=1e-5)


def test_garbage_on_the_way_does_not_end_the_curve(run, blobs_lab, monkeypatch):
    """Weights that are not finite: no FID, no KID and no bits/dim for that point, how many overflowed, and the rest."""
    (info, broken), last = read_snapshots(run.snapshots)
    for tensor in broken.values():
        if tensor.is_floating_point():
            tensor.fill_(torch.nan)
    monkeypatch.setattr(checkpoint, "read_snapshots", lambda _: [(info, broken), last])
    first, *others = curve(run, blobs_lab)["points"]
    for key in (*KEYS, "bits_per_dim", "standard_error"):
        assert first[key] is None
        assert all(isinstance(point[key], float) for point in others)
    assert [point["exploded_samples"] for point in (first, *others)] == [8, 0, 0]
