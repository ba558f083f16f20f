"""Where the distance comes from: four sets of images, of which what they are made of decides what they look like."""

import numpy as np
import pytest
import torch
from run_tools import run_probe, run_step

from vaeglow.config.registry import kinds_of
from vaeglow.evaluation.fid import measure_set
from vaeglow.evaluation.inception import load_inception
from vaeglow.evaluation.probes import IMAGES, LATENTS
from vaeglow.evaluation.probes.distance_source import image, latents
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.results import read_result

SETTINGS = {"batch_size": 4, "temperature": "0.5"}


@pytest.fixture
def reads(vaeglow_run, inception_file, tmp_path):
    about = {"protocol": "test-6-64", "split": "test", "images": 6, "features": 64, "sets": 1}
    common = {"batch_size": 4, "device": "cpu", "threads": 1, "output": tmp_path / "reference.npz"}
    run_step("fid_reference", data_dir=vaeglow_run.data, weights=inception_file, **about, **common)
    return {"reference": tmp_path / "reference.npz", "weights": inception_file}


def test_each_set_has_its_fid_and_kid_the_same_again(vaeglow_run, reads, tmp_path):
    one, other = (
        run_probe("distance_source", vaeglow_run, tmp_path / f"{i}.json", SETTINGS, **reads) for i in range(2)
    )
    sets = [f"{source}_{shown}" for source in LATENTS for shown in IMAGES]
    assert len({one.value(name, "fid") for name in sets}) == 4
    assert all(one.content[name] == other.content[name] for name in sets)
    assert one.content["fid_samples"] == 6 and one.content["temperature"] == 0.5
    # The set of latents from training images, decoded, measured by hand:
    run = TrainedRun(vaeglow_run.model, "cpu")
    train = np.load(vaeglow_run.data / "train.npy")
    with torch.no_grad():
        parts = [image(run.network, z, "mean", 0.5, noise) for z, noise in latents(run, "posterior", train, 6)]
    samples = (256 * torch.cat(parts).clamp(0, 1 - 1e-7)).floor().to(torch.uint8).numpy()
    real, net = read_result(reads["reference"], None), load_inception(reads["weights"], 64, "cpu")
    assert measure_set(samples, net, real, 4, "cpu")[1] == pytest.approx(one.value("posterior_mean", "fid"))


def test_the_posterior_is_that_of_training_images_and_the_layer_inverts_a_draw(vaeglow_run):
    run = TrainedRun(vaeglow_run.model, "cpu")
    train = np.load(vaeglow_run.data / "train.npy")
    with torch.no_grad():
        [(z, noise)] = latents(run, "posterior", train[:5], 5)
        mean, log_scale = run.network.vae.encode((torch.from_numpy(train[:5]) + 0.5) / 256)
        assert ((z - mean).abs() < 6 * log_scale.exp() + 0.2).all()
        torch.testing.assert_close(image(run.network, z, "mean", 0.5, noise), run.network.decode(z)[0])
        still = image(run.network, z, "layer", 0.0, noise)
        torch.testing.assert_close(run.network.layer(still)[0], run.network.decode(z)[0], rtol=1e-3, atol=1e-3)
    assert kinds_of("probes")["distance_source"].result.startswith("distance_source/{protocol}")
