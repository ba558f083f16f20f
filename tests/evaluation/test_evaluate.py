"""The steps fid_reference, evaluate and evaluate_snapshots end to end: what they measure, record and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_tools import Run, prepare, resolved, run_step, save_model
from scipy.spatial.distance import cdist

from benchmarks.work import photographs
from vaeglow.data.arrays import write_dataset
from vaeglow.errors import UserError
from vaeglow.evaluation.bootstrap import sample_draws
from vaeglow.evaluation.fid import gaussian_images, image_features, measure_set, measure_sets
from vaeglow.evaluation.inception import load_inception
from vaeglow.files import sha256_json
from vaeglow.results import read_result
from vaeglow.training.checkpoint import read_snapshots
from vaeglow.weights import SNAPSHOTS_KEY, load_model, write_tensors

CPU, TEMPERATURE = torch.device("cpu"), 0.5
COMMON = {"batch_size": 4, "device": "cpu", "threads": 1}
SPREAD = [0, 1, 2, 4, 5, 6]  # six of eight images


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    info = {"name": "tiny", "kind": "photos", "channels": 3, "size": 32, "levels": 256}
    info |= {"mean": [0.5] * 3, "std": [0.2] * 3, "source": {}}
    write_dataset(tmp_path / "tiny", {"train": photographs(2), "val": photographs(1), "test": photographs(8)}, info)
    return tmp_path / "tiny"


def write_samples(path: Path, images: np.ndarray, data: Path, **changes: object) -> Path:
    hashes = json.loads((data / "dataset.json").read_text())["sha256"]
    about = {"preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0, "temperature": 0.5, "inputs": {}}
    about |= {"config_sha256": "c", "data_sha256": sha256_json(hashes), "weights_sha256": "w", "provenance": {"a": 1}}
    np.savez(path, images=images, metadata=np.array(json.dumps(about | changes)))
    return path


def make_reference(data: Path, weights: Path, output: Path, **options: object) -> Path:
    asked = {"protocol": "test-6-64", "split": "test", "images": 6, "features": 64, "sets": 1} | options
    run_step("fid_reference", data_dir=data, weights=weights, output=output, **COMMON, **asked)
    return output


def measure(samples: Path, reference: Path, weights: Path, output: Path) -> dict:
    run_step("evaluate", samples=samples, reference=reference, weights=weights, output=output, **COMMON)
    return json.loads(output.read_text())


def test_the_steps_measure_and_record(dataset: Path, inception_file: Path, tmp_path: Path) -> None:
    """What the functions say that `test_fid.py` tries, the same again."""
    images, reference = photographs(9, seed=5), make_reference(dataset, inception_file, tmp_path / "reference.npz")
    outputs, samples = (tmp_path / "1.json", tmp_path / "2.json"), tmp_path / "samples.npz"
    write_samples(samples, images, dataset)
    one, two = (measure(samples, reference, inception_file, output) for output in outputs)
    real, net = read_result(reference, None), load_inception(inception_file, 64, "cpu")
    wanted = image_features(photographs(8)[SPREAD], net, 4, "cpu")
    for name, array in zip(("features", "mean", "covariance"), wanted, strict=True):
        np.testing.assert_array_equal(real.arrays[name], array)
    wanted = {"dataset": "tiny", "images": 6, "features": 64, "sets": 1, "image_shape": [3, 32, 32]}
    assert wanted.items() <= real.content.items()
    features, wanted = measure_sets(images, net, real, 4, "cpu")
    wanted |= {"protocol": "test-6-64", "split": "test", "fid_samples": 6, "fid_features": 64}
    wanted |= {"fid_reference_images": 6, "preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0}
    wanted |= {"temperature": 0.5}
    assert wanted.items() <= one.items()
    assert one["samples_provenance"] == {"a": 1} and "versions" in one["provenance"]
    kept = read_result(outputs[0].with_suffix(".npz"), None)
    for name, draws in sample_draws(features, real.arrays["features"], ("tiny", "test-6-64", "vae", 0)).items():
        np.testing.assert_array_equal(kept.arrays[name], draws.astype(np.float32))
        assert draws[0] == pytest.approx(one[name])
    assert all(kept.content[key] == one[key] for key in ("temperature", "weights_sha256", "protocol"))
    for each in (one, two):  # when it was made, and the hash of a file that says when it was made
        del each["provenance"], each["inputs"]
    assert one == two


def test_near_copies_of_training_images_are_left_out_and_exact_ones_refused(inception_file, tmp_path):
    info = {"name": "tiny", "kind": "photos", "channels": 3, "size": 32, "levels": 256, "source": {}}
    info |= {"mean": [0.5] * 3, "std": [0.2] * 3}
    train, test = photographs(3, seed=5), photographs(8)
    for name, more in (("apart", test[:0]), ("copied", train[1:2])):
        splits = {"train": train, "val": train[:1], "test": np.concatenate([test, more])}
        write_dataset(tmp_path / name, splits, info)
    with pytest.raises(UserError, match="1 test images of tiny are in its training set, too"):
        run_step("near_copies", data_dir=tmp_path / "copied", device="cpu", threads=1, output=tmp_path / "x.npz")
    run_step("near_copies", data_dir=tmp_path / "apart", device="cpu", threads=1, output=tmp_path / "near.npz")
    distances = read_result(tmp_path / "near.npz", ("distances",)).arrays["distances"]
    flat = [array.reshape(len(array), -1).astype(float) for array in (test, train)]
    wanted = cdist(*flat).min(1) / np.sqrt(flat[0].shape[1])
    np.testing.assert_allclose(distances, wanted)
    third, fourth = np.sort(distances)[2:4]  # from the third on, the two nearest are left out
    options = {"near_copies": [tmp_path / "near.npz"], "apart": third}
    real = read_result(make_reference(tmp_path / "apart", inception_file, tmp_path / "r.npz", **options), None)
    kept = image_features(test[distances >= third], load_inception(inception_file, 64, "cpu"), 4, "cpu")
    np.testing.assert_array_equal(real.arrays["features"], kept[0])
    with pytest.raises(UserError, match="has 5 images, protocol test-6-64 needs 6"):
        make_reference(tmp_path / "apart", inception_file, tmp_path / "s.npz", **options | {"apart": fourth})


def test_the_floor_is_measured_as_samples_are_and_says_whose_it_is(dataset, inception_file, tmp_path):
    reference, output = make_reference(dataset, inception_file, tmp_path / "r.npz"), tmp_path / "floor.json"
    files = {"data_dir": dataset, "reference": reference, "weights": inception_file, "output": output}
    run_step("floor", preset="demo", **files, **COMMON)
    real, net = read_result(reference, None), load_inception(inception_file, 64, "cpu")
    _, fid = measure_set(gaussian_images(photographs(2), 6, 256), net, real, 4, "cpu")
    entry = {"preset": "demo", "dataset": "tiny", "protocol": "test-6-64", "fid_samples": 6, "split": "test"}
    found = json.loads(output.read_text())
    assert entry.items() <= found.items() and found["fid"] == pytest.approx(fid)


def test_each_set_counts_and_too_few_samples_for_all_sets_are_refused(dataset, inception_file, tmp_path):
    images = photographs(13, seed=5)
    metrics, reference = tmp_path / "metrics.json", tmp_path / "reference.npz"
    make_reference(dataset, inception_file, reference, sets=2)
    found = measure(write_samples(tmp_path / "two.npz", images, dataset), reference, inception_file, metrics)
    assert (len(set(found["fid_by_set"])), found["fid_sets"], found["fid_samples"]) == (2, 2, 6)
    with pytest.raises(UserError, match=r"has 9 images, protocol test-6-64 needs 12: choose a protocol with fewer"):
        measure(write_samples(tmp_path / "9.npz", images[:9], dataset), reference, inception_file, metrics)


def test_evaluate_refuses_what_does_not_belong_together(dataset, inception_file, tmp_path):
    reference, output = tmp_path / "reference.npz", tmp_path / "metrics.json"
    with pytest.raises(
        UserError, match=r"split of tiny has 8 images, protocol test-500-64 needs 500: add .* 6 at least"
    ):
        make_reference(dataset, inception_file, reference, images=500, protocol="test-500-64")
    assert not reference.exists()
    make_reference(dataset, inception_file, reference)
    for changes, says in (
        ({"images": photographs(9, side=16)}, "image_shape is [3, 32, 32], expected [3, 16, 16]"),
        ({"data_sha256": "x"}, "expected 'x'"),
        ({"dataset": "mine"}, "dataset is 'tiny', expected 'mine'"),
    ):
        samples = write_samples(tmp_path / "x.npz", **{"images": photographs(9), "data": dataset} | changes)
        with pytest.raises(UserError) as refused:
            measure(samples, reference, inception_file, output)
        assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not output.exists() and not output.with_suffix(".npz").exists()


EIGHT = {"protocol": "test-8-64", "images": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory, blobs_dir, vae_run) -> Run:
    """A run in two phases whose second kept its weights twice."""
    folder = tmp_path_factory.mktemp("run")
    return Run(folder, resolved("vaeglow", snapshots=[0.25, 0.5]), blobs_dir, vae_run).train()


@pytest.fixture(scope="module")
def reference(tmp_path_factory, blobs_dir, inception_file) -> Path:
    return make_reference(blobs_dir, inception_file, tmp_path_factory.mktemp("reference") / "reference.npz", **EIGHT)


def curve(run: Run, output: Path, reference: Path, weights: Path, **changed: object) -> dict:
    options = {"model": run.model, "snapshots": run.snapshots, "data_dir": run.data}
    options |= {"temperature": TEMPERATURE, "batch_size": 4, "likelihood_images": 8, "output": output}
    run_step("evaluate_snapshots", **options | changed, reference=reference, weights=weights, device="cpu")
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def result(run, reference, inception_file, tmp_path_factory) -> dict:
    return curve(run, tmp_path_factory.mktemp("points") / "T0.5.json", reference, inception_file)


def test_points_are_snapshots_and_the_finished_model(result, run, vae_run, reference, inception_file, tmp_path):
    points = result["points"]
    assert [point["fraction"] for point in points] == [0.25, 0.5, 1.0]
    assert [point["epoch"] for point in points] == [0.5, 1.0, 2.0]
    assert result["weights_sha256"] == run.summary()["weights_sha256"]
    wanted = {"protocol": "test-8-64", "temperature": 0.5, "split": "test", "likelihood_images": 8}
    wanted |= {"fid_samples": 8, "fid_reference_images": 8, "fid_features": 64}
    assert wanted.items() <= result.items()
    one = curve(vae_run, tmp_path / "T0.5.json", reference, inception_file, likelihood_images=500)
    (point,) = one["points"]  # of a run without snapshots
    assert point["fraction"] == 1 and one["likelihood_images"] == 12


@pytest.mark.parametrize("which", [0, 2])
def test_each_point_is_what_the_other_steps_say(which, result, run, reference, inception_file, tmp_path):
    """The first snapshot and the finished model, through `sample`, `evaluate` and `likelihood`."""
    path, point = run.model, result["points"][which]
    if which == 0:
        model, about = load_model(run.model, CPU)
        model.load_state_dict(read_snapshots(run.snapshots)[0][1])
        path = tmp_path / "model.safetensors"
        save_model(path, model, about["config"], {"data": about["data"]})
    samples, metrics, bits = tmp_path / "samples/T0.5.npz", tmp_path / "T0.5.json", tmp_path / "likelihood.json"
    run_step("sample", model=path, temperature=TEMPERATURE, count=8, shown=8, device="cpu", output=samples)
    found = measure(samples, reference, inception_file, metrics)
    for key in ("fid", "kid", "kid_standard_error", "exploded_samples"):
        assert point[key] == pytest.approx(found[key], rel=1e-6)
    counts = {"batch_size": 4, "importance_samples": 1, "importance_images": 1}
    run_step("likelihood", model=path, data_dir=run.data, **counts, device="cpu", output=bits)
    values = np.load(tmp_path / "likelihood.npz")["bits_per_dim_1"][:8]
    assert point["bits_per_dim"] == pytest.approx(values.mean(), rel=1e-6)
    assert point["standard_error"] == pytest.approx(values.std(ddof=1) / 8**0.5, rel=1e-5)


def test_garbage_on_the_way_does_not_end_the_curve(run, reference, inception_file, tmp_path, capsys):
    """Weights that are not finite: no FID, no KID and no bits/dim for that point, how many overflowed, and the rest."""
    packed = {}
    (info, broken), (_, whole) = read_snapshots(run.snapshots)
    for index, state in enumerate((broken, whole)):
        spoil = torch.nan if index == 0 else 1.0
        packed |= {f"{index}/{name}": t * spoil if t.is_floating_point() else t for name, t in state.items()}
    infos = [{**info, "fraction": fraction} for fraction in (0.25, 0.5)]
    write_tensors(tmp_path / "snapshots.safetensors", packed, SNAPSHOTS_KEY, {"snapshots": infos})
    changed = {"snapshots": tmp_path / "snapshots.safetensors"}
    first, *others = curve(run, tmp_path / "T0.5.json", reference, inception_file, **changed)["points"]
    for key in ("fid", "kid", "kid_standard_error", "bits_per_dim", "standard_error"):
        assert first[key] is None
        assert all(isinstance(point[key], float) for point in others)
    assert [point["exploded_samples"] for point in (first, *others)] == [8, 0, 0]
    assert "fid None" in capsys.readouterr().out


def test_a_missing_file_and_a_foreign_reference_are_refused(run, reference, inception_file, tmp_path):
    absent, data = tmp_path / "absent.safetensors", prepare(tmp_path / "mine", name="mine")
    foreign = make_reference(data, inception_file, tmp_path / "foreign.npz", **EIGHT)
    for message, real, changed in [
        (f"{absent} is missing", reference, {"snapshots": absent}),
        ("dataset is 'mine', expected 'blobs'", foreign, {}),
    ]:
        with pytest.raises(UserError) as refused:
            curve(run, tmp_path / "T0.5.json", real, inception_file, **changed)
        assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "T0.5.json").exists()
