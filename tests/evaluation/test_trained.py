"""Bits/dim and samples of a run: files say what the values say, noise is of the seed, overflow is counted."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from fid_tools import images_of, network_of
from pytest import approx
from refusals import user_error
from run_tools import blobs, initialised, run_step
from scipy.stats import sem
from torch.testing import assert_close

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.evaluation import likelihood
from vaeglow.evaluation.likelihood import importance_bits_per_dim, one_sample_terms
from vaeglow.evaluation.trained import BATCH_SIZE, SAMPLING, sample
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, quantise, total
from vaeglow.results import read_result
from vaeglow.weights import load_model

CPU = torch.device("cpu")
MODELS = ["vae", "vaeglow", "glow"]


class Stub(GenerativeModel):
    """Uniform images, the first `broken` of every batch spoilt."""

    def __init__(self, broken: int = 0, value: float = math.nan) -> None:
        super().__init__(1, 2, 256)
        self.broken = broken
        self.value = value

    def sample(self, count, temperature, generator=None):
        images = torch.rand(count, *self.shape, generator=generator)
        images[: self.broken, 0, 0, 1] = self.value
        return images


def draw(model: Stub, count: int, temperature: float = 1.0) -> tuple[torch.Tensor, int]:
    return sample(model, count, temperature, 0, CPU)


def test_the_first_samples_do_not_depend_on_their_number_and_all_differ():
    count = 2 * BATCH_SIZE + 3
    images, _ = draw(Stub(), count)
    assert len(images.flatten(1).unique(dim=0)) == count  # every batch has noise of its own
    assert torch.equal(draw(Stub(), 7)[0], images[:7])


@pytest.mark.parametrize(
    "count, temperature, says",
    [
        (0, 1.0, "^0 samples are requested"),
        (2.5, 1.0, "^2.5 samples are requested"),
        (1, -1.0, "^temperature -1.0 is not a number"),
        (1, math.nan, "^temperature nan is not a number"),
        (4, "0.5", "^temperature '0.5' is not a number"),
    ],
)
def test_illegal_requests_are_refused(count, temperature, says):
    with user_error(says):
        draw(Stub(), count, temperature)


@pytest.mark.parametrize(
    "value, level",
    [
        (math.nan, 0),
        (math.inf, 255),
        (-math.inf, 0),
    ],
)
def test_images_that_overflowed_are_kept_and_counted(value, level):
    clean, none = draw(Stub(), 150)
    spoilt, exploded = draw(Stub(10, value), 150)
    broken = torch.arange(150) % BATCH_SIZE < 10
    clean[broken, 0, 0, 1] = level
    assert torch.equal(clean, spoilt)
    assert (none, exploded) == (0, 20)
    assert draw(Stub(10), 5)[1] == 5  # of the images asked for


def test_the_step_writes_the_samples_of_the_runs_own_seed(any_run, tmp_path):
    output = tmp_path / "samples/T0.5.npz"
    run_step(
        "sample",
        model=any_run.model,
        temperature=0.5,
        count=9,
        shown=4,
        device="cpu",
        output=output,
    )
    result = read_result(output, ("images",))
    images = result.arrays["images"]
    with torch.no_grad():
        generator = step_generator(any_run.config["seed"], SAMPLING, 0)
        drawn = network_of(any_run).sample(BATCH_SIZE, 0.5, generator)
    assert np.array_equal(images, quantise(drawn, 256)[:9].numpy())
    assert {"temperature": 0.5, "exploded_samples": 0}.items() <= result.content.items()
    assert list(output.parent.iterdir()) == [output]
    few = read_result(tmp_path / "shown/T0.5.npz", ("images",), samples=9)
    assert np.array_equal(few.arrays["images"], images[:4])


def test_a_model_most_of_whose_samples_overflow_is_refused(monkeypatch, vae_run, tmp_path):
    _, about = load_model(vae_run.model, CPU)
    monkeypatch.setattr("vaeglow.evaluation.trained.load_model", lambda *_: (Stub(10), about))
    options = {
        "model": vae_run.model,
        "temperature": 0.5,
        "shown": 4,
        "output": tmp_path / "a/x.npz",
    }
    with user_error("10 of 19 samples are not finite"):
        run_step("sample", **options, count=19, device="cpu")
    run_step("sample", **options, count=20, device="cpu")


def test_the_step_says_what_the_images_say(any_run, tmp_path):
    output = tmp_path / "likelihood.json"
    bounds = {"importance_samples": [4, 10], "importance_images": 7}
    files = {"model": any_run.model, "data_dir": any_run.data, "output": output}
    run_step("likelihood", **files, **bounds, batch_size=5, device="cpu")
    result = read_result(output).content
    arrays = read_result(output.with_suffix(".npz"), None).arrays
    single, four, ten = (arrays[f"bits_per_dim_{draws}"] for draws in (1, 4, 10))

    def summary(values: np.ndarray) -> dict:
        approximate = {"bits_per_dim": approx(values.mean()), "images": len(values)}
        return approximate | {"standard_error": approx(sem(values), rel=1e-4)}

    kind = any_run.config["kind"]
    wanted = summary(single) | {
        "split": "test",
        "dequantisation": "uniform",
        "bound": "=" if kind == "glow" else "<=",
        "importance": {
            "1": summary(single[:7]),
            "4": summary(four),
            "10": summary(ten),
        },
    }
    assert {key: result[key] for key in wanted} == wanted
    assert (len(single), len(four), len(ten)) == (12, 7, 7)
    _, more = likelihood.evaluate_likelihood(network_of(any_run), images_of(any_run), 5, [4, 10], 10, 0, CPU)
    assert np.array_equal(more["bits_per_dim_10"][:7], ten)  # however many images are asked for
    assert result["undequantised"]["not_a_bound"]
    assert sum(result["terms"].values()) == approx(result["bits_per_dim"], abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_undequantised_is_the_bound_with_the_noise_at_its_middle(model, monkeypatch):
    """u = 1/2 everywhere in the headline's own code, the latents' noise as it is."""

    def middle(x, levels, generator):
        dequantise(x, levels, generator)  # the generator goes on as it does
        return (x + 0.5) / levels

    network = initialised(model)
    images = blobs(7, 2)
    measured = one_sample_terms(network, images, 3, 5, CPU, dequantised=False)
    monkeypatch.setattr(likelihood, "dequantise", middle)
    assert_close(measured, one_sample_terms(network, images, 3, 5, CPU), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_one_importance_sample_is_the_headline_bound_with_noise_of_the_seed_and_batch(any_run):
    model = network_of(any_run)
    images = images_of(any_run)
    close = functools.partial(assert_close, rtol=1e-6, atol=1e-6)
    headline = bits_per_dim(total(one_sample_terms(model, images, 12, 3, CPU)), model.dims, model.levels)
    close(importance_bits_per_dim(model, images, [1], 12, 3, CPU)[1], headline)
    # u, then the latent's noise, whatever else is evaluated
    generator = step_generator(3, likelihood.EVALUATION, 0, CPU)
    direct = model.log_likelihood(dequantise(torch.from_numpy(images), 256, generator), generator)
    close(headline, bits_per_dim(total(direct).double(), model.dims, 256))
    api = vaeglow.load(any_run.model, "cpu").bits_per_dim(images, seed=3)
    assert torch.equal(api, importance_bits_per_dim(model, images, [1], 100, 3, CPU)[1])


def test_a_residual_flow_has_no_bound_of_several_draws():
    network = initialised("residual_flow")
    images = blobs(2, 0)
    with user_error("K = 10 is no bound for a ResidualFlow, whose bits/dim are"):
        importance_bits_per_dim(network, images, [1, 10], 10, 0, CPU)
    measured, per_image = likelihood.evaluate_likelihood(network, images, 10, [10], 2, 0, CPU)
    assert list(measured["importance"]) == ["1"]
    assert list(per_image) == ["bits_per_dim_1"]


@pytest.mark.parametrize("model", MODELS)
def test_bounds_are_nested_and_their_noise_is_fresh_and_of_the_seed(model):
    """Whatever else is asked for, a K has its own draws; and K = 2 to 10 add noises, 20 adds latents to them."""
    network = initialised(model)
    images = np.tile(blobs(3, 4), (2, 1, 1, 1))

    def bounds(*draws: int, seed: int = 0) -> dict[int, torch.Tensor]:
        return importance_bits_per_dim(network, images, draws, 3, seed, CPU)

    together = bounds(1, 3, 10, 20)
    assert (together[3][:3] != together[3][3:]).all()  # the same image twice gets other noise
    assert (together[3] != bounds(3, seed=1)[3]).all()
    for draws, values in together.items():
        assert torch.equal(values, bounds(draws)[draws])
    sums = {draws: draws * (-values * network.dims * math.log(2)).exp() for draws, values in together.items()}
    for fewer, more in itertools.pairwise(sums):
        assert (sums[more] > sums[fewer] - 1e-9).all()
    change = (together[20] - together[10]).abs()
    assert (change > 1e-6).all() == (model != "glow")  # which has no latent


@torch.no_grad()
def test_broken_weights_are_an_error(any_run):
    model = network_of(any_run)
    for parameter in model.parameters():
        parameter.fill_(math.nan)
    with user_error("not finite for 4 of 4 images: the model is broken"):
        importance_bits_per_dim(model, blobs(4, 0), [10], 10, 0, CPU)
    with user_error("not finite for 4 of 4 images: the model is broken"):
        one_sample_terms(model, blobs(4, 0), 10, 0, CPU)


def test_there_is_no_standard_error_of_one_image():
    assert likelihood.summary(torch.tensor([2.0]))["standard_error"] is None
