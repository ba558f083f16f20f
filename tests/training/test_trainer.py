"""Training: it learns, it is a function of its seed, a non-finite step leaves no trace; what it prints."""

import itertools
import math
import os
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pytest import approx
from refusals import user_error
from run_tools import SIZE, Run, bits, blobs, losses, prepare, resolved, same_tensors, trainer

from vaeglow.models.base import build
from vaeglow.models.bounds import quantise
from vaeglow.steps import train
from vaeglow.training import progress
from vaeglow.training.checkpoint import pack
from vaeglow.training.optimise import Guard, learning_rate
from vaeglow.training.progress import Progress
from vaeglow.training.step import TrainingStep
from vaeglow.training.trainer import Trainer

STEPS = 4  # in an epoch: 64 images, batch 16


def poison(model: torch.nn.Module, how: str, steps: set[int] | range) -> None:
    """Spoil the model's loss in the given steps, counted from 0 over the whole run."""
    plain = model.loss
    count = itertools.count()

    def loss(*arguments):
        value, terms = plain(*arguments)
        if next(count) in steps:
            if how == "gradient":  # value 0, gradient NaN
                parameter = next(iter(model.trainable()))
                return value + (0 * parameter.sum()).sqrt(), terms
            value = value * float(how)
            terms = {name: term * float(how) for name, term in terms.items()}
        return value, terms

    model.loss = loss


KINDS = ["vae", "vaeglow", "vaeglow_beyond", "glow", "pixelcnn", "pixeliqn", "residual_flow"]


@pytest.mark.parametrize("model", KINDS)
def test_loss_falls_for_every_kind(model, tmp_path, blobs_dir, vae_run):
    base = vae_run if model.startswith("vaeglow") else None
    run = Run(tmp_path, resolved(model, epochs=6), blobs_dir, base).train()
    first, *_, last = losses(run.rows())
    assert last < first - 0.75


@pytest.mark.parametrize("name", ["vaeglow_run", "two_stage_run"])
def test_phase_two_leaves_phase_one_bit_identical(name, request):
    run = request.getfixturevalue(name)
    weights = run.weights().items()
    kept = {name.removeprefix("vae."): tensor for name, tensor in weights if name.startswith("vae.")}
    assert same_tensors(kept, run.base.weights())


def test_train_subset_is_the_first_images():
    config = resolved("vae")
    config["data"]["train_subset"] = 20
    assert np.array_equal(trainer(config).data, blobs(20, 1))


def test_a_model_starts_from_the_first_256_images():
    config = resolved("vae")
    started = []
    step = TrainingStep(build(config), config, blobs(300, 1), torch.device("cpu"))
    step.model.initialise = started.append
    step.initialise()
    (y,) = started
    assert torch.equal(quantise(y, 256), step.data[:256])


def test_history_has_a_row_an_epoch_whose_terms_make_up_the_loss(any_run):
    header = any_run.history.read_text().splitlines()[0].split(",")
    assert ("kl_bits_per_dim" in header) == (any_run.config["kind"] != "glow")  # a cost: the KL, not its negative
    assert {"learning_rate", "gradient_norm", "skipped_steps", "images_per_second", "seconds"} < set(header)
    rows = any_run.rows()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert row["val_bits_per_dim"] == ""
        assert 0 < float(row["gradient_norm"]) < math.inf
        terms = [float(value) for name, value in row.items() if name.endswith("_bits_per_dim") and value]
        assert float(row["bits_per_dim"]) == approx(8 + sum(terms), abs=1e-4)  # 8: D log levels
    history = pd.read_csv(any_run.history)
    spent = history["seconds"].diff().fillna(history["seconds"])  # of each epoch
    assert (64 / spent).tolist() == approx(history["images_per_second"].tolist())


def test_validation_comes_when_asked_and_does_not_disturb_training(vae_run, tmp_path, blobs_dir):
    run = Run(tmp_path, resolved("vae", validate_every=2), blobs_dir).train()
    first, second = (row["val_bits_per_dim"] for row in run.rows())
    assert not first
    assert float(second) < 12
    assert same_tensors(vae_run.weights(), run.weights())


def test_every_validation_image_weighs_the_same():
    """Of 20 the last four are a batch of their own; here the loss of an image is its brightness."""
    run = trainer(resolved("vae"))
    run.model.loss = lambda y, noise: (y.mean(), {})
    images = torch.zeros(20, 3, SIZE, SIZE, dtype=torch.uint8)
    images[16:] = 255
    assert run.mean_loss(images) == approx(4 / 20, abs=1 / 256)


def test_validation_without_val_images(tmp_path):
    run = Run(tmp_path / "run", resolved("vae", validate_every=1), prepare(tmp_path / "data", val=0))
    with user_error("validate_every is set but dataset blobs has no val images"):
        run.train()


@pytest.mark.parametrize("end, warned", [(5.0, False), (5.0199, False), (5.0201, True), (math.nan, True)])
def test_a_finished_model_worse_than_its_last_epoch_is_warned_of(end, warned, capsys, monkeypatch):
    run = trainer(resolved("vae"))
    run.position.history = [{"bits_per_dim": 5.0}]
    monkeypatch.setattr(run, "mean_loss", lambda images: end)
    run.check_end()
    assert ("WARNING" in capsys.readouterr().out) == warned


def test_a_loss_that_is_not_finite_at_the_end_is_no_number_in_the_summary(tmp_path, blobs_dir, monkeypatch):
    monkeypatch.setattr(Trainer, "mean_loss", lambda self, images: math.nan)
    summary = Run(tmp_path, resolved("vae", validate_every=1), blobs_dir).train().summary()
    assert summary["end_bits_per_dim"] is summary["val_bits_per_dim"] is None
    assert summary["last_epoch_bits_per_dim"] > 0


STEP = np.arange(20)  # of four epochs
WARMER = np.minimum(1, (STEP + 1) / 10)
RATES = [
    ("constant", 0, np.ones(20)),
    ("constant", 2, WARMER),
    ("linear", 0, 1 - STEP / 20),  # to zero at the end
    ("linear", 2, (1 - STEP / 20) * WARMER),
    ({"halve_every": 2}, 0, 0.5 ** (STEP // 10)),  # paper, section 4.2: 250 epochs
]


@pytest.mark.parametrize("schedule, warmup, expected", RATES)
def test_the_learning_rate_follows_its_schedule(schedule, warmup, expected):
    training = {
        "learning_rate": 1e-3,
        "schedule": schedule,
        "warmup_epochs": warmup,
        "epochs": 4,
    }
    rates = [learning_rate(training, epoch, step, 5) for epoch in range(4) for step in range(5)]
    assert rates == approx(1e-3 * expected, rel=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "adamax"])
def test_the_optimiser_takes_the_scheduled_rate_and_the_betas(optimizer):
    run = trainer(resolved("vae", optimizer=optimizer, betas=[0.8, 0.99], warmup_epochs=1))
    assert type(run.optimizer).__name__.lower() == optimizer
    assert run.optimizer.defaults["betas"] == (0.8, 0.99)
    used = []
    run.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    history = run.run().history
    assert used == [0.0005, 0.001, 0.0015, *[0.002] * 5]
    assert [row["learning_rate"] for row in history] == [0.002, 0.002]


@pytest.mark.parametrize("clip", [0.5, 1000.0])
def test_gradient_is_clipped_to_its_global_norm(clip):
    model = torch.nn.Linear(2, 1, bias=False)
    guard = Guard(model, torch.optim.SGD(model.parameters(), lr=1.0), {"gradient_clip": clip})
    before = model.weight.detach().clone()
    loss = model(torch.tensor([[300.0, -400.0]])).sum()
    loss.backward()
    _, norm = guard.step(loss, loss)
    assert norm.item() == approx(500)
    expected = torch.tensor([[-0.6, 0.8]]) * min(500, clip)
    torch.testing.assert_close(model.weight.detach() - before, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
@pytest.mark.parametrize(
    "model, optimizer",
    [
        ("vae", "adam"),
        ("vae", "adamax"),
        ("residual_flow", "adam"),
        ("infogan", "adam"),
    ],
)
def test_a_bad_step_changes_nothing_and_the_next_good_one_does(model, optimizer, how):
    run = trainer(resolved(model, optimizer=optimizer))
    poison(run.model, how, {1})
    run.start()
    assert run.guard.fused == (optimizer == "adam")
    sums = {}
    states = []
    for step in range(3):
        run.train_step(torch.arange(16), step, sums)
        states.append(bits(pack(run.model, run.optimizer) | {f"sum/{name}": value for name, value in sums.items()}))
        assert run.guard.in_a_row.item() == (step == 1)
    before, bad, good = states
    assert before == bad  # weights, moments, step counts, statistics of batch and spectral norms, sums
    moving = [name for name in bad if name.endswith(("/step", "/exp_avg", "running_mean", "num_batches_tracked"))]
    assert moving
    assert not any(good[name] == bad[name] for name in moving)


def test_an_epoch_of_bad_steps_only_does_not_claim_a_loss():
    run = trainer(resolved("vae", max_bad_steps=50))
    poison(run.model, "nan", range(STEPS))
    first, second = run.run().history
    assert first["skipped_steps"] == STEPS
    assert math.isnan(first["bits_per_dim"])
    assert second["skipped_steps"] == 0
    assert math.isfinite(second["bits_per_dim"])


ROW = yaml.safe_load("""
  {epoch: 1, bits_per_dim: 3.5, val_bits_per_dim: null, learning_rate: 0.001, images_per_second: 10.0, seconds: 2.0,
  skipped_steps: 0}
""")
NAMED = yaml.safe_load("{preset: my, model: vae, dataset: mine, seed: 3, kind: vae}")


def config(epochs: int) -> dict:
    return {**NAMED, "training": {"epochs": epochs}}


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands until it is set."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("time.monotonic", lambda: now.seconds)
    return now


def test_the_terminal_hears_now_and_then_what_is_left(clock, monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr(progress, "time_left", lambda run, seconds, left: f"{left:.0f}/{seconds:.0f} {run}")
    monkeypatch.setenv(progress.TERMINAL, str(writer))
    shown = Progress(config(10), 50, 100, None, True)
    for second in range(1, 101):  # 2 images a second, 100 of 500 seen before
        clock.seconds += 1
        shown.advance(100 + 2 * second, 2, 3.456)
    shown.advance(100, 0, 3.456)  # after a rollback
    assert shown.takes(shown.total - shown.done) == 200
    shown.epoch_done(ROW | {"epoch": 10, "seconds": 250.0})
    first, *others, last = os.read(reader, 10**6).decode().splitlines()
    assert first == "vae on mine, seed 3: epoch 3/10, 3.46 bits/dim, 0:03:15 left, 195/250 vae on mine, seed 3"
    assert len(others) == 95 // 15
    assert last == "vae on mine, seed 3: all epochs done, 3.50 bits/dim, 0:04:10"


def test_without_snakemake_and_terminal_only_epochs_are_printed(clock, monkeypatch, capfd):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    shown = Progress(config(3), 10, 0, None, True)
    clock.seconds += 1000
    shown.advance(5, 0, 3.5)
    assert capfd.readouterr() == ("", "")
    shown.epoch_done(ROW | {"val_bits_per_dim": 3.25, "skipped_steps": 2})
    start = "epoch 1/3  3.5000 bits/dim  val 3.2500  lr 1.00e-03  10.0 img/s  2 s in all"
    assert capfd.readouterr().out == f"{start}  1:23:20 left  (2 bad steps skipped)\n"


def test_a_missing_tensorboard_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with user_error(r"pip install -e '\.\[tensorboard\]'"):
        Progress(config(3), 10, 0, tmp_path, True)


def test_tensorboard_shows_the_history(tmp_path, blobs_dir):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = Run(tmp_path / "run", resolved("vae", validate_every=2), blobs_dir)
    train.main([*run.flags(10), "--tensorboard"])
    events = reader.EventAccumulator(str(run.folder / "tensorboard")).Reload()
    history = pd.read_csv(run.history, index_col="epoch")
    assert {*events.Tags()["scalars"]} == {*history}
    for name, values in history.items():
        assert [event.value for event in events.Scalars(name)] == approx(values.dropna().tolist(), rel=1e-6)
