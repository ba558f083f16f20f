"""Memorisation: nearest training images against their definition, what the check says of copies, and the step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from data_tools import prepared
from fid_tools import pixels
from numpy.testing import assert_array_equal
from refusals import user_error
from run_tools import Run, blobs, resolved, run_probe, run_step
from scipy.spatial.distance import cdist

from vaeglow.data.arrays import open_split
from vaeglow.evaluation.probes import nearest_training as nearest
from vaeglow.results import Result

OPTIONS = {"batch_size": 4, "device": "cpu", "levels": 256}


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


@pytest.mark.parametrize("looked, k", [(40, 5), (13, 13)])
@pytest.mark.parametrize("training_block, block", [(1000, 512), (9, 4)])
def test_the_nearest_are_those_of_all_distances(looked, k, training_block, block, monkeypatch):
    """Whatever the sizes of the blocks; numbers are those in the whole split, also where some are looked through."""
    monkeypatch.setattr(nearest, "TRAINING_BLOCK", training_block)
    monkeypatch.setattr(nearest, "BLOCK", block)
    train = blobs(40, 1)
    groups = (blobs(7, 2), blobs(3, 3))
    chosen = np.arange(looked) * 40 // looked
    measured = nearest.find_nearest(groups, train, chosen, pixels, k, **OPTIONS)
    for group, (distances, indices) in zip(groups, measured, strict=True):
        every = cdist(flat(group), flat(train[chosen]))
        wanted = np.argsort(every, 1)[:, :k]
        assert_array_equal(indices, chosen[wanted])
        np.testing.assert_allclose(distances, np.take_along_axis(every, wanted, 1), rtol=1e-5)


def test_pixel_copies_are_counted():
    train = blobs(50, 1)
    images = blobs(5, 2)
    images[[0, 3, 4]] = train[[49, 0, 49]]  # one of them twice
    images[1] = train[7]
    images[1, 0, 0, 0] ^= 1  # one grey level of one pixel
    assert nearest.copies(images, train).tolist() == [True, False, False, True, True]


def test_shares_are_those_nearer_than_the_nearest_test_images():
    samples = np.array([0.0, 1.5, 3.0, 5.0, 6.0, 7.0, 50.0, 90.0])
    measured = nearest.nearer_than_test(samples, np.arange(1.0, 101.0))
    assert measured["test_percentiles"] == pytest.approx({"1": 1.99, "5": 5.95})
    assert measured["shares_nearer"] == {"1": 2 / 8, "5": 4 / 8}


SETTINGS = yaml.safe_load("""
  {samples: 10, test_images: 8, training_images: null, features: 64, neighbours: 2, shown: 3, batch_size: 4}
""")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, vae_run: Run) -> Path:
    return draw(vae_run, tmp_path_factory.mktemp("drawn") / "T0.5.npz")


def draw(run: Run, path: Path) -> Path:
    run_step(
        "sample",
        model=run.model,
        temperature=0.5,
        count=12,
        shown=1,
        device="cpu",
        output=path,
    )
    return path


@pytest.fixture
def look(inception_file: Path, tmp_path: Path) -> Callable[..., Result]:
    """`look(run, samples, **changed settings)`: the probe's result, in `near.npz`."""

    def probed(run: Run, samples: Path, /, **changed: object) -> Result:
        reads = {"samples": samples, "weights": inception_file}
        return run_probe("nearest_training", run, tmp_path / "near.npz", SETTINGS | changed, **reads)

    return probed


def test_the_step_measures_and_records(vae_run, drawn, look):
    result = look(vae_run, drawn)
    measured = result.arrays
    train = open_split(vae_run.data, "train")
    assert_array_equal(measured["images"], np.load(drawn)["images"][:3])
    assert_array_equal(measured["neighbours"], train[measured["indices"][:3]])
    wanted = yaml.safe_load("""
      {samples: 10, test_images: 8, training_images: 64, all_training_images: 64, features: 64, copies: 0,
      test_copies: 0, temperature: 0.5}
    """)
    wanted |= nearest.nearer_than_test(measured["distances"][:, 0], measured["test_distances"])
    assert wanted.items() <= result.content.items()


def test_copies_are_looked_for_among_all_images_that_a_run_trained_on_and_no_others(look, tmp_path):
    config = resolved("vae", epochs=1)
    config["data"]["train_subset"] = 5
    train = blobs(64, 1)
    test = blobs(12, 2)
    test[:2] = train[[4, 5]]  # the run did not train on the second
    data = prepared(tmp_path / "blobs", train=train, val=train[:0], test=test)
    run = Run(tmp_path / "run", config, data).train()
    samples = draw(run, tmp_path / "x.npz")
    with np.load(samples) as archive:
        arrays = dict(archive)
    arrays["images"][:7] = train[:7]
    np.savez(samples, **arrays)
    result = look(run, samples, training_images=2)
    counts = {"training_images": 2, "all_training_images": 5, "copies": 5, "test_copies": 1}
    assert counts.items() <= result.content.items()
    assert set(result.arrays["indices"].ravel()) == {0, 2}


REFUSED = yaml.safe_load("""
- [vae_run, {samples: 13}, "has 12 images, probes.nearest_training.samples needs 13"]
- [vae_run, {neighbours: 65}, "has 64 images, probes.nearest_training.neighbours needs 65"]
- [glow_run, {}, "T0.5.npz: model is 'vae', expected 'glow'"]
""")


@pytest.mark.parametrize("run, change, says", REFUSED)
def test_the_step_refuses_what_it_cannot_find(run, change, says, request, drawn, look, tmp_path):
    with user_error(says):
        look(request.getfixturevalue(run), drawn, **change)
    assert not list(tmp_path.iterdir())
