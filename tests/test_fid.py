"""FID: streaming statistics, closed forms, pytorch-fid's own result, and the steps end to end."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from fid_tools import fid_the_pytorch_fid_way, our_fid, photographs, random_weights

from vaeglow.data.arrays import evenly_spaced, write_dataset
from vaeglow.errors import UserError
from vaeglow.evaluation import inception
from vaeglow.evaluation.fid import GaussianStatistics, extract_features, frechet_distance, image_features, stretched
from vaeglow.evaluation.images import Spread, read_reference
from vaeglow.evaluation.inception import load_inception, load_weights, save_weights
from vaeglow.evaluation.kid import kernel_inception_distance
from vaeglow.evaluation.neighbours import compare_neighbours
from vaeglow.files import sha256_json
from vaeglow.steps import cli, evaluate, fid_reference


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def weights(inception_file: Path) -> Path:
    return inception_file


# ------------------------------------------------------------------------------------------ statistics
@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 7, 7, 7, 7, 7, 7, 1], [49, 0, 1]])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_streamed_statistics_are_those_of_all_rows(sizes: list[int], offset: float) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6)) @ np.diag([1, 2, 3, 0.1, 1, 0]) + offset
    statistics = GaussianStatistics(6)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        statistics.update(part)
    assert statistics.count == 50
    np.testing.assert_allclose(statistics.mean, rows.mean(0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(statistics.covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-10)


def test_statistics_refuse_what_they_cannot_use() -> None:
    statistics = GaussianStatistics(2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            statistics.update(np.array([[0, 1], [bad, 0]]))
    with pytest.raises(ValueError, match=r"not \[B, 2\]"):
        statistics.update(np.zeros((4, 3)))
    assert statistics.count == 0
    statistics.update(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="at least 2 images"):
        _ = statistics.covariance


# -------------------------------------------------------------------------------------------- distance
def random_covariance(seed: int, features: int = 8, rank: int = 8) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(features, rank))
    return root @ root.T / rank


def test_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    zero, shift = np.zeros(8), rng.normal(size=8)
    one, two = rng.uniform(0.1, 2, (2, 8))
    rotation = scipy.linalg.qr(rng.normal(size=(8, 8)))[0]
    closed_form = ((one**0.5 - two**0.5) ** 2).sum()
    assert frechet_distance(zero, np.diag(one), zero, np.diag(two)) == pytest.approx(closed_form, rel=1e-9)
    commuting = (rotation * one) @ rotation.T, (rotation * two) @ rotation.T
    wanted = closed_form + shift @ shift
    assert frechet_distance(zero, commuting[0], shift, commuting[1]) == pytest.approx(wanted, rel=1e-9)
    same = random_covariance(1)
    assert frechet_distance(zero, same, shift, same) == pytest.approx(shift @ shift, rel=1e-9)


def test_distance_is_pytorch_fids_formula_and_a_distance() -> None:
    zero, one, two = np.zeros(8), random_covariance(1), random_covariance(2)
    wanted = np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)
    assert frechet_distance(zero, one, zero, two) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(zero, two, zero, one) == pytest.approx(wanted, rel=1e-9)
    assert 0 <= frechet_distance(zero, one, zero, one) < 1e-9


def test_distance_of_singular_gaussians() -> None:
    """Fewer images than features, constant images: the matrix has no inverse, the distance still exists."""
    zero = np.zeros(40)
    flat, wide = np.zeros((40, 40)), random_covariance(3, 40, 40)
    line = np.zeros((40, 40))
    line[0, 0] = 4.0
    other_line = np.zeros((40, 40))
    other_line[1, 1] = 9.0
    assert frechet_distance(zero, flat, zero, flat) == 0
    assert frechet_distance(zero, flat, zero, wide) == pytest.approx(np.trace(wide), rel=1e-9)
    assert frechet_distance(zero, line, zero, 4 * line) == pytest.approx(4.0, rel=1e-6)
    assert frechet_distance(zero, line, zero, other_line) == pytest.approx(13.0, rel=1e-6)
    thin = random_covariance(4, 40, 5)
    assert 0 <= frechet_distance(zero, thin, zero, thin) < 1e-5
    wanted = np.trace(thin) + np.trace(wide) - 2 * np.sqrt(np.linalg.eigvals(thin @ wide).real.clip(0)).sum()
    assert frechet_distance(zero, thin, zero, wide) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("failure", ["not finite", "complex", "raises"])
def test_distance_survives_a_failing_matrix_root(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = random_covariance(1), random_covariance(2)
    wanted = frechet_distance(np.zeros(8), one, np.ones(8), two)

    def root(matrix: np.ndarray) -> np.ndarray:
        if failure == "raises":
            raise scipy.linalg.LinAlgError
        return matrix * (np.nan if failure == "not finite" else 1j)

    monkeypatch.setattr(scipy.linalg, "sqrtm", root)
    assert frechet_distance(np.zeros(8), one, np.ones(8), two) == pytest.approx(wanted, rel=1e-9)


def test_distance_refuses_other_shapes_and_values() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.zeros(2), np.eye(2), np.array([0, np.nan]), np.eye(2))


# -------------------------------------------------------------------------------------------- features
class TinyNet(torch.nn.Module):
    """Stands for Inception: returns its input's colours at every position."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]


def test_distance_from_identical_images() -> None:
    """A model that always draws the same image: its covariance is zero, and the distance still finite."""
    real = photographs(12)
    same = np.repeat(real[:1], 12, axis=0)
    statistics = [image_features(images, TinyNet(), 3, 5, "cpu")[1] for images in (real, same)]
    (mean1, covariance1), (mean2, covariance2) = ((each.mean, each.covariance) for each in statistics)
    assert covariance2 == pytest.approx(np.zeros((3, 3)), abs=1e-20) and np.linalg.matrix_rank(covariance1) == 3
    wanted = ((mean1 - mean2) ** 2).sum() + np.trace(covariance1)
    assert frechet_distance(mean1, covariance1, mean2, covariance2) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(mean1, covariance1, mean2, 0 * covariance2) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(mean2, covariance2, mean2, covariance2) == pytest.approx(0, abs=1e-12)


def test_features_are_averaged_and_scaled_and_independent_of_batching() -> None:
    images = photographs(23)
    wanted = (images / 255.0).mean((2, 3))
    for batch_size in (1, 5, 100):
        parts = list(extract_features(images, TinyNet(), batch_size, "cpu"))
        assert max(len(part) for part in parts) <= batch_size
        np.testing.assert_allclose(torch.cat(parts).numpy(), wanted, atol=1e-6)
    few_levels = torch.cat(list(extract_features(images // 64, TinyNet(), 10, "cpu", levels=4)))
    np.testing.assert_allclose(few_levels.numpy(), (images // 64 / 3).mean((2, 3)), atol=1e-6)


def test_one_pass_gives_features_in_order_and_their_statistics() -> None:
    images = photographs(23)
    features, statistics = image_features(images, TinyNet(), 3, 5, "cpu")
    assert features.dtype == np.float32 and features.shape == (23, 3) and statistics.count == 23
    np.testing.assert_allclose(features, (images / 255.0).mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(statistics.mean, features.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9)


def test_grey_images_are_repeated_to_three_channels(weights: Path) -> None:
    grey = photographs(3)[:, :1]
    net = load_inception(weights, 64, "cpu")
    found, wanted = (torch.cat(list(extract_features(x, net, 3, "cpu"))) for x in (grey, grey.repeat(3, axis=1)))
    assert found.shape == (3, 64) and torch.equal(found, wanted)


def test_features_refuse_other_images_and_values_that_are_not_finite() -> None:
    images = photographs(4)
    for bad in (images.astype(np.float32), images[0], images[:, :2]):
        with pytest.raises(UserError, match="FID needs uint8 images"):
            next(extract_features(bad, TinyNet(), 2, "cpu"))

    class Broken(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> list[torch.Tensor]:
            return [torch.where(batch == batch.max(), torch.nan, batch)]

    with pytest.raises(UserError, match=r"features of image [0-3] are not finite"):
        list(extract_features(images, Broken(), 4, "cpu"))


# -------------------------------------------------------------------------------- pytorch-fid's own way
def test_our_fid_is_pytorch_fids(weights: Path, tmp_path: Path) -> None:
    one, two = photographs(8, seed=1), photographs(8, seed=2) // 2
    theirs = fid_the_pytorch_fid_way(one, two, random_weights(), 64, tmp_path)
    assert theirs > 0.1
    assert our_fid(one, two, weights, 64) == pytest.approx(theirs, abs=1e-3)
    assert 0 <= our_fid(one, one, weights, 64) < 1e-4


# ------------------------------------------------------------------------------------------------ steps
@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    info = {"name": "tiny", "kind": "photos", "channels": 3, "size": 32, "levels": 256}
    info |= {"mean": [0.5] * 3, "std": [0.2] * 3, "source": {}}
    write_dataset(tmp_path / "tiny", {"train": photographs(2), "val": photographs(1), "test": photographs(8)}, info)
    return tmp_path / "tiny"


@pytest.fixture
def samples(dataset: Path, tmp_path: Path) -> Path:
    return write_samples(tmp_path / "samples.npz", photographs(9, seed=5), dataset)


def write_samples(path: Path, images: np.ndarray, data: Path, **changes: object) -> Path:
    hashes = json.loads((data / "dataset.json").read_text())["sha256"]
    metadata = {"preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0, "temperature": 0.5}
    metadata |= {
        "config_sha256": "c",
        "data_sha256": sha256_json(hashes),
        "weights_sha256": "w",
        "inputs": {},
        "provenance": {"a": 1},
    }
    np.savez(path, images=images, metadata=np.array(json.dumps(metadata | changes)))
    return path


def run(monkeypatch: pytest.MonkeyPatch, step: object, *arguments: object, **options: object) -> None:
    common = {"batch_size": 4, "device": "cpu", "threads": 1} | options
    flags = [str(part) for name, value in common.items() for part in (f"--{name.replace('_', '-')}", value)]
    monkeypatch.setattr(sys, "argv", ["step", *map(str, arguments), *flags])
    cli.run(step.main)


def make_reference(monkeypatch: pytest.MonkeyPatch, dataset: Path, weights: Path, **options: object) -> Path:
    output, words = dataset.parent / "reference.npz", ["--stretch"] if options.pop("stretch", False) else []
    asked = {"protocol": "test-6-64", "split": "test", "images": 6, "features": 64, "sets": 1} | options
    run(monkeypatch, fid_reference, *words, data_dir=dataset, weights=weights, output=output, **asked)
    return output


def evaluate_step(monkeypatch: pytest.MonkeyPatch, samples: Path, reference: Path, weights: Path, output: Path) -> None:
    run(monkeypatch, evaluate, samples=samples, reference=reference, weights=weights, output=output)


def test_the_steps_measure_and_record(
    monkeypatch: pytest.MonkeyPatch,
    dataset: Path,
    samples: Path,
    weights: Path,
) -> None:
    reference = make_reference(monkeypatch, dataset, weights)
    real = read_reference(reference)
    mean, covariance, metadata = real.mean, real.covariance, real.metadata
    assert mean.shape == (64,) and covariance.shape == (64, 64) and mean.dtype == covariance.dtype == np.float64
    assert real.features.shape == (6, 64) and real.features.dtype == np.float32
    assert metadata["dataset"] == "tiny" and metadata["images"] == 6 and metadata["features"] == 64
    assert metadata["sets"] == 1 and metadata["stretch"] is False
    results = []
    for name in ("one.json", "two.json"):
        output = dataset.parent / name
        evaluate_step(monkeypatch, samples, reference, weights, output)
        results.append(json.loads(output.read_text()))
    one, two = results
    spread = photographs(8)[[0, 1, 2, 4, 5, 6]]
    assert one["fid"] == pytest.approx(our_fid(photographs(9, seed=5)[:6], spread, weights, 64), rel=1e-6)
    wanted = {"protocol": "test-6-64", "fid_samples": 6, "fid_reference_images": 6, "fid_features": 64, "split": "test"}
    wanted |= {"fid_sets": 1, "fid_sd": None, "fid_by_set": [one["fid"]], "stretch": False, "feature_images": 6}
    wanted |= {"preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0, "temperature": 0.5}
    assert wanted.items() <= one.items()
    assert one["samples_provenance"] == {"a": 1} and "versions" in one["provenance"]
    with np.load(output.with_suffix(".npz"), allow_pickle=False) as archive:
        features, about = archive["features"], json.loads(str(archive["metadata"]))
    assert features.shape == (6, 64) and features.dtype == np.float32
    net = load_inception(weights, 64, "cpu")
    np.testing.assert_array_equal(features, image_features(photographs(9, seed=5)[:6], net, 64, 4, "cpu")[0])
    keys = ("preset", "dataset", "model", "seed", "temperature", "config_sha256", "data_sha256", "weights_sha256")
    keys += ("protocol",)
    assert {key: about[key] for key in keys} == {key: one[key] for key in keys}
    wanted = kernel_inception_distance(features, real.features, "cpu") | compare_neighbours(
        features, real.features, "cpu"
    )
    assert set(wanted) == {
        *("kid", "kid_standard_error", "precision", "recall", "density", "coverage"),
        *("diversity", "reference_diversity"),
    }
    assert {key: one[key] for key in wanted} == pytest.approx(wanted)
    for each in results:  # when it was made, and the hash of a file that says when it was made
        del each["provenance"], each["inputs"]
    assert one == two


def test_several_sets_and_stretched_samples(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Each set is measured as if alone; features, KID and the like are of the first; all of stretched images."""
    drawn = photographs(13, seed=5) // 2
    wide = np.stack([(x - x.min()) / (x.max() - x.min()) for x in drawn.astype(float)])
    reference = make_reference(monkeypatch, dataset, weights, sets=2, stretch=True)
    metrics = tmp_path / "metrics.json"
    evaluate_step(monkeypatch, write_samples(tmp_path / "two.npz", drawn, dataset), reference, weights, metrics)
    found, real, net = json.loads(metrics.read_text()), read_reference(reference), load_inception(weights, 64, "cpu")
    with torch.no_grad():
        features = net(torch.from_numpy(wide).float())[0].mean((2, 3)).numpy()
    kept = np.load(metrics.with_suffix(".npz"), allow_pickle=False)["features"]
    np.testing.assert_allclose(kept, features[:6], atol=1e-5)
    by_set = []
    for part in (features[:6], features[6:12]):
        part = part.astype(np.float64)
        by_set.append(frechet_distance(part.mean(0), np.cov(part, rowvar=False), real.mean, real.covariance))
    assert found["fid_by_set"] == pytest.approx(by_set, rel=1e-4) and by_set[0] != pytest.approx(by_set[1], rel=1e-2)
    assert found["fid"] == pytest.approx(np.mean(by_set), rel=1e-4)
    assert found["fid_sd"] == pytest.approx(np.std(by_set, ddof=1), rel=1e-3)
    assert (found["fid_sets"], found["fid_samples"], found["stretch"]) == (2, 6, True)
    assert found["kid"] == pytest.approx(kernel_inception_distance(kept, real.features, "cpu")["kid"])
    plain = extract_features(photographs(8)[[0, 1, 2, 4, 5, 6]], net, 6, "cpu")
    np.testing.assert_allclose(real.features, next(plain).numpy(), atol=1e-5)  # real images are not stretched
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        evaluate_step(monkeypatch, write_samples(tmp_path / "9.npz", drawn[:9], dataset), reference, weights, metrics)
    assert "has 9 images, protocol test-6-64 needs 12: choose or add a protocol with sets: 1" in capsys.readouterr().err


def test_stretching_is_image_by_image_and_survives_a_flat_one() -> None:
    images = torch.tensor([[[0.2, 0.3], [0.4, 0.3]], [[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [0.25, 0.5]]])[:, None]
    images = torch.cat([images, images[:, :, [1, 0]] - 0.0], 1)
    images[0, 1] += 0.2  # the range is over all channels
    found = stretched(images)
    torch.testing.assert_close(found[0, 0], (images[0, 0] - 0.2) / 0.4)
    assert found[0].min() == 0 and found[0].max() == 1
    assert torch.equal(found[1], torch.zeros(2, 2, 2)) and torch.equal(found[2], images[2])


def test_images_spread_over_a_split_are_read_a_slice_at_a_time() -> None:
    class Counted(np.ndarray):
        read = 0

        def __getitem__(self, which: object) -> np.ndarray:
            part = np.asarray(self)[which]
            Counted.read = max(Counted.read, len(part))
            return part

    images = photographs(40)
    spread = Spread(images.view(Counted), 13)
    assert len(spread) == 13 and spread.shape == (13, 3, 32, 32)
    parts = list(extract_features(spread, TinyNet(), 4, "cpu"))
    np.testing.assert_allclose(torch.cat(parts), (evenly_spaced(images, 13) / 255).mean((2, 3)), atol=1e-6)
    assert Counted.read == 4


def test_weights_are_read_once_until_the_file_changes(weights: Path, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "weights.safetensors"
    shutil.copy(weights, path)
    reads, plain = [], inception.read_tensors
    monkeypatch.setattr(inception, "read_tensors", lambda *arguments: reads.append(1) or plain(*arguments))
    _, digest = load_weights(path)
    load_inception(path, 64, "cpu")
    assert load_weights(str(path))[1] == digest and len(reads) == 1
    save_weights(path, {**random_weights(), "Mixed_7c.branch_pool.bn.bias": torch.zeros(192)}, {})
    assert load_weights(path)[1] != digest
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="does not hold Inception weights"):
        load_weights(path)


def test_reference_refuses_too_few_images(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    dataset: Path,
    weights: Path,
) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_reference(monkeypatch, dataset, weights, images=500, protocol="test-500-64")
    error = capsys.readouterr().err
    assert "the test split of tiny has 8 images, protocol test-500-64 needs 500" in error
    assert error.count("\n") == 1 and "protocols in the config" in error
    for options, says in [
        ({"images": 5}, "asks for 5 images: FID, KID, precision, recall, density and coverage together need at least"),
        ({"sets": 0}, "protocol test-6-64 asks for 0 sets of samples: take 1 or more"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            make_reference(monkeypatch, dataset, weights, **options)
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
    assert not (dataset.parent / "reference.npz").exists()


def test_evaluate_refuses_what_does_not_belong_together(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    dataset: Path,
    samples: Path,
    weights: Path,
    tmp_path: Path,
) -> None:
    reference = make_reference(monkeypatch, dataset, weights)
    output = tmp_path / "metrics.json"
    damaged, foreign, other = tmp_path / "damaged.npz", tmp_path / "foreign.npz", tmp_path / "other.safetensors"
    damaged.write_bytes(samples.read_bytes()[:2000])
    np.savez(foreign, images=photographs(9))
    save_weights(other, {**random_weights(), "Mixed_7c.branch_pool.bn.bias": torch.zeros(192)}, {})
    make = {
        "has 5 images, protocol test-6-64 needs 6": write_samples(tmp_path / "1.npz", photographs(5), dataset),
        "differ in image shape ([3, 16, 16] and [3, 32, 32])": write_samples(
            tmp_path / "2.npz", photographs(9, side=16), dataset
        ),
        "differ in data hash (x and ": write_samples(tmp_path / "3.npz", photographs(9), dataset, data_sha256="x"),
        "differ in dataset (mine and tiny)": write_samples(tmp_path / "4.npz", photographs(9), dataset, dataset="mine"),
        "is damaged or no result": damaged,
        "foreign.npz is damaged or no result": foreign,
        "does not exist: run the step that makes it first": tmp_path / "none.npz",
    }
    for message, path in make.items():
        with pytest.raises(SystemExit, match="2"):
            evaluate_step(monkeypatch, path, reference, weights, output)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        evaluate_step(monkeypatch, samples, reference, other, output)
    assert "differ in Inception weights" in capsys.readouterr().err
    assert not output.exists() and not output.with_suffix(".npz").exists()


def test_evaluate_refuses_a_reference_without_its_features(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    dataset: Path,
    samples: Path,
    weights: Path,
    tmp_path: Path,
) -> None:
    """And one whose arrays do not fit its metadata."""
    with np.load(make_reference(monkeypatch, dataset, weights), allow_pickle=False) as archive:
        arrays = dict(archive)
    for changed, message in [
        ({key: value for key, value in arrays.items() if key != "features"}, "is damaged or no result"),
        (arrays | {"features": arrays["features"][:5]}, "holds features [5, 64] where its metadata ask for [6, 64]"),
    ]:
        np.savez(tmp_path / "other.npz", **changed)
        with pytest.raises(SystemExit, match="2"):
            evaluate_step(monkeypatch, samples, tmp_path / "other.npz", weights, tmp_path / "metrics.json")
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "metrics.json").exists()
