"""Samples: noise from the seed alone, temperature on the pixels, overflow counted and never hidden."""

import json

import numpy as np
import pytest
import torch
from run_tools import flags

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.trained import BATCH_SIZE, SAMPLING, sample
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise
from vaeglow.steps import sample as sample_step
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
    sample_step.main(flags(model=any_run.model, temperature=0.5, count=9, device="cpu", output=output))
    with np.load(output, allow_pickle=False) as archive:
        images, metadata = archive["images"], json.loads(str(archive["metadata"]))
    with torch.no_grad():
        generator = step_generator(any_run.config["seed"], SAMPLING, 0)
        drawn = load_model(any_run.model, CPU)[0].sample(BATCH_SIZE, 0.5, generator)
    assert np.array_equal(images, quantise(drawn, 256)[:9].numpy())
    assert metadata["temperature"] == 0.5 and metadata["exploded_samples"] == 0
    assert all(metadata[key] == any_run.summary()[key] for key in ("weights_sha256", "config_sha256", "data_sha256"))
    assert list(output.parent.iterdir()) == [output]


def test_a_model_most_of_whose_samples_overflow_is_refused(monkeypatch, vae_run, tmp_path):
    about = load_model(vae_run.model, CPU)[1]
    monkeypatch.setattr("vaeglow.evaluation.trained.load_model", lambda *_: (Stub(10), about))
    with pytest.raises(UserError, match="10 of 19 samples are not finite"):
        sample_step.main(flags(model=vae_run.model, temperature=0.5, count=19, device="cpu", output=tmp_path / "x.npz"))
    sample_step.main(flags(model=vae_run.model, temperature=0.5, count=20, device="cpu", output=tmp_path / "x.npz"))
