"""Bits/dim and samples of a run: files say what the values say, noise is of the seed, overflow is counted."""

import json
import math

import numpy as np
import pytest
import torch
from run_tools import blobs, initialised, run_step

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation import likelihood
from vaeglow.evaluation.likelihood import importance_bits_per_dim, one_sample_terms
from vaeglow.evaluation.trained import BATCH_SIZE, SAMPLING, sample
from vaeglow.files import sha256_file
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, quantise, total
from vaeglow.results import read_result
from vaeglow.weights import load_model

CPU = torch.device("cpu")


class Stub(GenerativeModel):
    """Uniform images, the first `broken` of every batch spoilt."""

    def __init__(self, broken: int, value: float = float("nan")) -> None:
        super().__init__(1, 2, 256)
        self.broken, self.value, self.counts = broken, value, []

    def sample(self, count, temperature, generator=None):
        self.counts.append(count)
        images = torch.rand(count, *self.shape, generator=generator)
        images[: self.broken, 0, 0, 1] = self.value
        return images


def test_batches_are_full_the_last_is_cut_and_illegal_requests_refused():
    model = Stub(0)
    images, exploded = sample(model, 2 * BATCH_SIZE + 3, 1.0, 0, CPU)
    assert images.shape == (2 * BATCH_SIZE + 3, 1, 2, 2) and images.dtype == torch.uint8
    assert exploded == 0 and model.counts == [BATCH_SIZE] * 3
    assert len(images.flatten(1).unique(dim=0)) == len(images)  # every batch has noise of its own
    assert torch.equal(sample(Stub(0), 7, 1.0, 0, CPU)[0], images[:7])
    for count, temperature in ((0, 1.0), (-3, 1.0), (1, -1.0), (1, float("nan")), (1, float("inf"))):
        with pytest.raises(UserError, match=r"are requested|temperature"):
            sample(model, count, temperature, 0, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_images_that_overflowed_are_kept_and_counted(value):
    (clean, _), (spoilt, exploded) = (sample(stub, 150, 1.0, 0, CPU) for stub in (Stub(0), Stub(10, value)))
    assert exploded == 20
    same = (clean == spoilt).flatten(1).all(1)
    assert same[10:100].all() and same[110:].all()
    assert sample(Stub(10), 5, 1.0, 0, CPU)[1] == 5  # of the images asked for
    pixels = spoilt[[*range(10), *range(100, 110)], 0, 0, 1]
    assert pixels.tolist() == [255 if value == float("inf") else 0] * 20


def test_the_step_writes_the_samples_of_the_runs_own_seed(any_run, tmp_path):
    output = tmp_path / "samples/T0.5.npz"
    run_step("sample", model=any_run.model, temperature=0.5, count=9, shown=4, device="cpu", output=output)
    with np.load(output, allow_pickle=False) as archive:
        images, metadata = archive["images"], json.loads(str(archive["metadata"]))
    with torch.no_grad():
        generator = step_generator(any_run.config["seed"], SAMPLING, 0)
        drawn = load_model(any_run.model, CPU)[0].sample(BATCH_SIZE, 0.5, generator)
    assert np.array_equal(images, quantise(drawn, 256)[:9].numpy())
    assert metadata["temperature"] == 0.5 and metadata["exploded_samples"] == 0
    assert all(metadata[key] == any_run.summary()[key] for key in ("weights_sha256", "config_sha256", "data_sha256"))
    assert list(output.parent.iterdir()) == [output]
    few = read_result(tmp_path / "shown/T0.5.npz", ("images",), samples=9, weights_sha256=metadata["weights_sha256"])
    assert np.array_equal(few.arrays["images"], images[:4])


def test_a_model_most_of_whose_samples_overflow_is_refused(monkeypatch, vae_run, tmp_path):
    about = load_model(vae_run.model, CPU)[1]
    monkeypatch.setattr("vaeglow.evaluation.trained.load_model", lambda *_: (Stub(10), about))
    options = {"model": vae_run.model, "temperature": 0.5, "device": "cpu", "shown": 4, "output": tmp_path / "a/x.npz"}
    with pytest.raises(UserError, match="10 of 19 samples are not finite"):
        run_step("sample", **options, count=19)
    run_step("sample", **options, count=20)


MODELS = ["vae", "vaeglow", "glow"]


def test_the_step_says_what_the_images_say(any_run, tmp_path):
    output, arrays = tmp_path / "likelihood.json", tmp_path / "likelihood.npz"
    about = {"batch_size": 5, "importance_samples": [4, 10], "importance_images": 7, "device": "cpu"}
    run_step("likelihood", model=any_run.model, data_dir=any_run.data, output=output, **about)
    result, file = json.loads(output.read_text()), read_result(arrays, None)
    assert file.content["weights_sha256"] == result["weights_sha256"]
    assert result["inputs"] == {str(path): sha256_file(path) for path in (any_run.model, arrays)}
    counts = {"bits_per_dim_1": 12, "bits_per_dim_4": 7, "bits_per_dim_10": 7}
    assert {name: len(values) for name, values in file.arrays.items()} == counts

    def of(values: np.ndarray) -> dict:
        error = pytest.approx(values.std(ddof=1) / math.sqrt(len(values)), rel=1e-4)
        return {"bits_per_dim": pytest.approx(values.mean()), "standard_error": error, "images": len(values)}

    assert of(file.arrays["bits_per_dim_1"]).items() <= result.items()
    assert result["importance"] == {str(k): of(file.arrays[f"bits_per_dim_{k}"][:7]) for k in (1, 4, 10)}
    assert result["undequantised"].items() >= {"images": 12, "not_a_bound": True}.items()
    assert result["split"] == "test" and result["dequantisation"] == "uniform"
    assert result["bound"] == ("=" if any_run.config["kind"] == "glow" else "<=")
    assert result["terms"]["levels"] == 8
    assert sum(result["terms"].values()) == pytest.approx(result["bits_per_dim"], abs=1e-9)
    assert all(result[key] == any_run.summary()[key] for key in ("config_sha256", "data_sha256", "weights_sha256"))


@pytest.mark.parametrize("model", MODELS)
def test_undequantised_is_the_bound_with_the_noise_at_its_middle(model, monkeypatch):
    """u = 1/2 everywhere in the headline's own code, the latents' noise as it is."""
    network, images = initialised(model), blobs(7, 2)
    found = one_sample_terms(network, images, 3, 5, CPU, dequantised=False)
    monkeypatch.setattr(
        "vaeglow.evaluation.likelihood.dequantise",
        lambda x, levels, generator: 0 * dequantise(x, levels, generator) + (x + 0.5) / levels,
    )
    terms = one_sample_terms(network, images, 3, 5, CPU)
    torch.testing.assert_close(found, terms, rtol=1e-6, atol=1e-6)


def test_one_importance_sample_is_the_headline_bound_with_noise_of_the_seed_and_batch(any_run):
    model, _ = load_model(any_run.model, CPU)
    images = np.load(any_run.data / "test.npy")
    terms = one_sample_terms(model, images, 12, 3, CPU)
    headline = bits_per_dim(total(terms), model.dims, model.levels)
    one = importance_bits_per_dim(model, images, [1], 12, 3, CPU)[1]
    torch.testing.assert_close(one, headline, rtol=1e-6, atol=1e-6)
    # u, then the latent's noise, whatever else is evaluated
    generator = step_generator(3, likelihood.EVALUATION, 0, CPU)
    with torch.no_grad():
        direct = model.log_likelihood(dequantise(torch.from_numpy(images), 256, generator), generator)
    torch.testing.assert_close(headline, bits_per_dim(total(direct).double(), model.dims, 256), rtol=1e-6, atol=1e-6)
    api = vaeglow.load(any_run.model, "cpu").bits_per_dim(images, seed=3)
    torch.testing.assert_close(api, importance_bits_per_dim(model, images, [1], 100, 3, CPU)[1], rtol=0, atol=0)


def test_more_draws_than_noises_share_them_and_the_layer_is_evaluated_once_for_each(monkeypatch):
    network, asked = initialised("vae"), []
    plain = network.log_weights
    monkeypatch.setattr(
        network, "log_weights", lambda y, latents, g: asked.append((y, latents)) or plain(y, latents, g)
    )
    for draws, wanted in (([30], [3] * 10), ([7], [1] * 7), ([7, 30, 1], [3] * 10)):
        asked.clear()
        importance_bits_per_dim(network, blobs(2, 0), draws, 10, 0, CPU)
        assert [latents for _, latents in asked] == wanted
        assert len({y.sum().item() for y, _ in asked}) == len(wanted)  # each of a noise of its own
    network, calls = initialised("vaeglow"), []
    plain = network.layer.forward
    monkeypatch.setattr(network.layer, "forward", lambda y: calls.append(y) or plain(y))
    importance_bits_per_dim(network, blobs(2, 0), [1, 10, 100], 10, 0, CPU)
    assert len(calls) == 10  # f does not depend on z


def test_a_residual_flow_has_no_bound_of_several_draws():
    network, images = initialised("residual_flow"), blobs(2, 0)
    with pytest.raises(UserError, match="K = 10 is no bound for a ResidualFlow, whose bits/dim are"):
        importance_bits_per_dim(network, images, [1, 10], 10, 0, CPU)
    found, per_image = likelihood.evaluate_likelihood(network, images, 10, [10], 2, 0, CPU)
    assert list(found["importance"]) == ["1"] and list(per_image) == ["bits_per_dim_1"]


@pytest.mark.parametrize("model", MODELS)
def test_bounds_are_nested_and_their_noise_is_fresh_and_of_the_seed(model):
    """Whatever else is asked for, a K has its own draws; and K = 2 to 10 add noises, tens add latents to them."""
    network, images = initialised(model), np.tile(blobs(3, 4), (2, 1, 1, 1))
    together = importance_bits_per_dim(network, images, [1, 3, 10, 40], 3, 0, CPU)
    assert (together[3][:3] != together[3][3:]).all()  # the same image twice gets other noise
    assert (together[3] != importance_bits_per_dim(network, images, [3], 3, 1, CPU)[3]).all()
    for draws, values in together.items():
        assert torch.equal(values, importance_bits_per_dim(network, images, [draws], 3, 0, CPU)[draws])
    mean = {draws: (-values * network.dims * math.log(2)).exp() for draws, values in together.items()}
    assert (3 * mean[3] > mean[1] - 1e-9).all() and (10 * mean[10] > 3 * mean[3] - 1e-9).all()
    assert (40 * mean[40] > 10 * mean[10] - 1e-9).all()


@pytest.mark.parametrize("samples", [1, 10])
def test_broken_weights_are_an_error(samples, any_run):
    model, _ = load_model(any_run.model, CPU)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[...] = float("nan")
    with pytest.raises(UserError, match="not finite for 4 of 4 images"):
        importance_bits_per_dim(model, blobs(4, 0), [samples], 10, 0, CPU)
    with pytest.raises(UserError, match="not finite for 4 of 4 images: the model is broken"):
        likelihood.evaluate_likelihood(model, blobs(4, 0), 10, [], 4, 0, CPU)
    assert likelihood.summary(torch.tensor([2.0]))["standard_error"] is None  # of one image
