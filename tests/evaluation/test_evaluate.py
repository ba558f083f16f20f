"""The steps fid_reference and evaluate end to end: what they measure, record and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fid_tools import our_fid, photographs, random_weights
from run_tools import flags

from vaeglow.data.arrays import write_dataset
from vaeglow.errors import UserError
from vaeglow.evaluation.fid import extract_features, frechet_distance, image_features, read_reference
from vaeglow.evaluation.inception import KEY, load_inception
from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance
from vaeglow.files import sha256_json
from vaeglow.steps import evaluate, fid_reference
from vaeglow.weights import write_tensors

SPREAD = [0, 1, 2, 4, 5, 6]  # six of eight images


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
    about = {"preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0, "temperature": 0.5, "inputs": {}}
    about |= {"config_sha256": "c", "data_sha256": sha256_json(hashes), "weights_sha256": "w", "provenance": {"a": 1}}
    np.savez(path, images=images, metadata=np.array(json.dumps(about | changes)))
    return path


COMMON = flags(batch_size=4, device="cpu", threads=1)


def make_reference(dataset: Path, weights: Path, stretch: bool = False, **options: object) -> Path:
    output = dataset.parent / "reference.npz"
    asked = {"protocol": "test-6-64", "split": "test", "images": 6, "features": 64, "sets": 1} | options
    words = flags(data_dir=dataset, weights=weights, output=output, **asked)
    fid_reference.main([*COMMON, *words, *(["--stretch"] if stretch else [])])
    return output


def measure(samples: Path, reference: Path, weights: Path, output: Path) -> dict:
    evaluate.main([*COMMON, *flags(samples=samples, reference=reference, weights=weights, output=output)])
    return json.loads(output.read_text())


def test_the_steps_measure_and_record(dataset: Path, samples: Path, inception_file: Path) -> None:
    reference = make_reference(dataset, inception_file)
    real = read_reference(reference)
    mean, covariance = real.arrays["mean"], real.arrays["covariance"]
    assert mean.shape == (64,) and covariance.shape == (64, 64) and mean.dtype == covariance.dtype == np.float64
    assert real.arrays["features"].shape == (6, 64) and real.arrays["features"].dtype == np.float32
    wanted = {"dataset": "tiny", "images": 6, "features": 64, "sets": 1, "stretch": False, "image_shape": [3, 32, 32]}
    assert wanted.items() <= real.content.items()
    outputs = [dataset.parent / name for name in ("one.json", "two.json")]
    one, two = (measure(samples, reference, inception_file, output) for output in outputs)
    fid = our_fid(photographs(9, seed=5)[:6], photographs(8)[SPREAD], inception_file, 64)
    assert one["fid"] == pytest.approx(fid, rel=1e-6)
    wanted = {"protocol": "test-6-64", "fid_samples": 6, "fid_reference_images": 6, "fid_features": 64, "split": "test"}
    wanted |= {"fid_sets": 1, "fid_sd": None, "fid_by_set": [one["fid"]], "stretch": False, "feature_images": 6}
    wanted |= {"preset": "demo", "dataset": "tiny", "model": "vae", "seed": 0, "temperature": 0.5}
    assert wanted.items() <= one.items()
    assert one["samples_provenance"] == {"a": 1} and "versions" in one["provenance"]
    with np.load(outputs[0].with_suffix(".npz"), allow_pickle=False) as archive:
        features, about = archive["features"], json.loads(str(archive["metadata"]))
    net = load_inception(inception_file, 64, "cpu")
    np.testing.assert_array_equal(features, image_features(photographs(9, seed=5)[:6], net, 4, "cpu")[0])
    assert all(about[key] == one[key] for key in ("temperature", "weights_sha256", "protocol"))
    wanted = kernel_inception_distance(features, real.arrays["features"], "cpu")
    wanted |= compare_neighbours(features, real.arrays["features"], "cpu")
    assert {key: one[key] for key in wanted} == pytest.approx(wanted)
    for each in (one, two):  # when it was made, and the hash of a file that says when it was made
        del each["provenance"], each["inputs"]
    assert one == two


def test_several_sets_and_stretched_samples(dataset: Path, inception_file: Path, tmp_path: Path) -> None:
    """All of stretched images; more of sets: test_fid."""
    images = photographs(13, seed=5) // 2
    wide = np.stack([(x - x.min()) / (x.max() - x.min()) for x in images.astype(float)])
    reference = make_reference(dataset, inception_file, sets=2, stretch=True)
    metrics = tmp_path / "metrics.json"
    found = measure(write_samples(tmp_path / "two.npz", images, dataset), reference, inception_file, metrics)
    real, net = read_reference(reference).arrays, load_inception(inception_file, 64, "cpu")
    with torch.no_grad():
        features = net(torch.from_numpy(wide).float())[0].mean((2, 3)).numpy()
    kept = np.load(metrics.with_suffix(".npz"), allow_pickle=False)["features"]
    np.testing.assert_allclose(kept, features[:6], atol=1e-5)
    parts = (features[:6].astype(np.float64), features[6:12].astype(np.float64))
    of = [frechet_distance(x.mean(0), np.cov(x, rowvar=False), real["mean"], real["covariance"]) for x in parts]
    assert found["fid_by_set"] == pytest.approx(of, rel=1e-4) and of[0] != pytest.approx(of[1], rel=1e-2)
    assert (found["fid"], found["fid_sets"], found["fid_samples"]) == (np.mean(found["fid_by_set"]), 2, 6)
    plain = extract_features(photographs(8)[SPREAD], net, 6, "cpu")
    np.testing.assert_allclose(real["features"], next(plain).numpy(), atol=1e-5)  # real images are not stretched
    with pytest.raises(UserError, match=r"has 9 images, protocol test-6-64 needs 12: choose a protocol with fewer"):
        measure(write_samples(tmp_path / "9.npz", images[:9], dataset), reference, inception_file, metrics)


def test_evaluate_refuses_what_does_not_belong_together(dataset, samples, inception_file, tmp_path):
    with pytest.raises(
        UserError, match="the test split of tiny has 8 images, protocol test-500-64 needs 500: choose a"
    ):
        make_reference(dataset, inception_file, images=500, protocol="test-500-64")
    assert not (dataset.parent / "reference.npz").exists()
    reference, output = make_reference(dataset, inception_file), tmp_path / "metrics.json"
    damaged, bare = tmp_path / "damaged.npz", tmp_path / "bare.npz"
    damaged.write_bytes(samples.read_bytes()[:2000])
    with np.load(reference, allow_pickle=False) as archive:
        np.savez(bare, **{key: value for key, value in dict(archive).items() if key != "features"})
    other = tmp_path / "other.safetensors"
    write_tensors(other, {**random_weights(), "Mixed_7c.branch_pool.bn.bias": torch.zeros(192)}, KEY, {})
    ours = {"data": dataset, "images": photographs(9)}
    made = {
        "has 5 images, protocol test-6-64 needs 6": {"data": dataset, "images": photographs(5)},
        "differ in image shape ([3, 16, 16] and [3, 32, 32])": ours | {"images": photographs(9, side=16)},
        "differ in data hash (x and ": ours | {"data_sha256": "x"},
        "differ in dataset (mine and tiny)": ours | {"dataset": "mine"},
    }
    tried = {
        says: (write_samples(tmp_path / f"{number}.npz", **of), reference, inception_file)
        for number, (says, of) in enumerate(made.items())
    }
    tried |= {
        f"{damaged} is damaged or not a result": (damaged, reference, inception_file),
        f"{bare} is damaged or not a result": (samples, bare, inception_file),
        "differ in Inception weights": (samples, reference, other),
    }
    for message, files in tried.items():
        with pytest.raises(UserError) as refused:
            measure(*files, output)
        assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not output.exists() and not output.with_suffix(".npz").exists()
