"""Where the distance comes from: four sets of images, of which what they are made of decides what they look like."""

import itertools

import numpy as np
import pytest
import torch
from run_tools import run_probe, save_model
from test_evaluate import Lab
from torch.testing import assert_close

from vaeglow.data.loader import DISTANCE_SOURCE, step_generator
from vaeglow.evaluation.fid import Reference
from vaeglow.evaluation.probes import IMAGES, LATENTS, distance_source
from vaeglow.evaluation.probes.distance_source import image, latents
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.models.bounds import quantise
from vaeglow.weights import load_model


@torch.no_grad()
def test_each_set_has_its_fid_and_kid(vaeglow_run, inception_file, tmp_path):
    lab = Lab(vaeglow_run.data, inception_file, tmp_path)
    lab.reference()
    reads = {"reference": lab.compared, "weights": inception_file}
    network, about = load_model(vaeglow_run.model, "cpu")
    about["config"]["data"]["train_subset"] = 20
    model = tmp_path / "model.safetensors"
    save_model(model, network, about["config"], {"data": about["data"]})
    settings = {"batch_size": 4, "temperature": "0.5"}
    result = run_probe("distance_source", vaeglow_run, tmp_path / "1.json", settings, model=model, **reads)
    sets = [f"{source}_{shown}" for source, shown in itertools.product(LATENTS, IMAGES)]
    assert len({result.value(name, "fid") for name in sets}) == 4
    assert result.content["temperature"] == 0.5
    # The set of latents from the images that it trained on, decoded, measured by hand:
    run = TrainedRun(model, "cpu")
    train = np.load(vaeglow_run.data / "train.npy")[:20]
    parts = [image(run.network, z, "mean", 0.5, noise) for z, noise in latents(run, "posterior", train, 6)]
    compared = Reference.open(*reads.values(), 4, "cpu", run.identity)
    samples = quantise(torch.cat(parts), 256).numpy()
    assert compared.fid_and_kid(samples) == pytest.approx(result.value("posterior_mean"))


@torch.no_grad()
def test_the_posterior_is_that_of_training_images_and_the_layer_inverts_a_draw(vaeglow_run):
    run = TrainedRun(vaeglow_run.model, "cpu")
    few = np.load(vaeglow_run.data / "train.npy")[:5]
    [(z, noise)] = latents(run, "posterior", few, 5)
    mean, log_scale = run.network.vae.encode((torch.from_numpy(few) + 0.5) / 256)
    assert ((z - mean).abs() < 6 * log_scale.exp() + 0.2).all()
    decoded, _ = run.network.decode(z)
    assert_close(image(run.network, z, "mean", 0.5, noise), decoded)
    still = image(run.network, z, "layer", 0.0, noise)
    assert_close(run.network.layer(still)[0], decoded, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_each_batch_of_the_prior_has_noise_of_its_own(vaeglow_run, monkeypatch):
    monkeypatch.setattr(distance_source, "BATCH_SIZE", 4)
    run = TrainedRun(vaeglow_run.model, "cpu")
    batches = [z for z, _ in latents(run, "prior", None, 6)]
    for index, count in enumerate([4, 2]):
        noise = step_generator(run.seed, DISTANCE_SOURCE, index)
        assert_close(batches[index], run.network.vae.prior_sample(count, noise))
    assert len(batches) == 2
