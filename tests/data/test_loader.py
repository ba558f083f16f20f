"""Batches, their order and their noise: functions of (seed, epoch, step)."""

import itertools

import numpy as np
import pytest
import torch
from refusals import user_error

from vaeglow.data.loader import batch_count, batches, dequantise, epoch_order, on_device, step_generator
from vaeglow.data.seeds import Stream, hold_out, stable_hash


def test_streams_are_the_same_everywhere():
    assert stable_hash(0, "a") == 2671967653362453091  # a change here reshuffles every dataset and run
    assert Stream(1).permutation(5).tolist() == [0, 2, 1, 4, 3]
    assert len({stable_hash(1, 23), stable_hash(12, 3), stable_hash("1", 23), stable_hash(1, 2, 3)}) == 4
    stream = Stream("dice")
    assert {stream.below(6) for _ in range(200)} == set(range(6))
    assert sorted(Stream(2).permutation(1000)) == list(range(1000))


def test_order_is_a_permutation_of_seed_and_epoch_only():
    orders = {}
    for key in itertools.product(range(3), repeat=2):
        order = epoch_order(500, *key)
        assert torch.equal(order.sort().values, torch.arange(500))
        torch.manual_seed(5)
        assert torch.equal(order, epoch_order(500, *key))
        orders[tuple(order.tolist())] = key
    assert len(orders) == 9
    assert epoch_order(5, 0, 0).tolist() == [2, 1, 3, 4, 0]  # a change here gives each run another order
    assert step_generator(0, 0, 0).initial_seed() == 7501562952870477443  # and other noise
    held = hold_out(np.arange(10), {"val_images": 3, "split_seed": 0, "kind": "folder"})
    assert held["val"].tolist() == [7, 5, 6]  # and another split


def test_noise_is_fresh_and_a_function_of_seed_epoch_and_step():
    x = torch.zeros(10, dtype=torch.uint8)
    noises = {}
    for key in itertools.product(range(3), repeat=3):
        noise = dequantise(x, 256, step_generator(*key))
        assert torch.equal(noise, dequantise(x, 256, step_generator(*key)))
        noises[tuple(noise.tolist())] = key
    assert len(noises) == 27
    generator = step_generator(0, 0, 0)
    assert not torch.equal(dequantise(x, 256, generator), dequantise(x, 256, generator))


@pytest.mark.parametrize("count, used", [(10, 9), (9, 9), (2, 2), (3, 3)])
def test_batches_drop_a_short_last_one_unless_it_is_alone(count, used):
    order = epoch_order(count, 0, 0)
    cut = batches(order, 3)
    assert batch_count(count, 3) == len(cut)
    assert {len(batch) for batch in cut} == {min(3, count)}
    assert torch.equal(torch.cat(cut), order[:used])


def test_data_on_device_takes_the_first_images():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    data = on_device(images, "cpu", subset=4)
    assert data.dtype == torch.uint8
    assert np.array_equal(data.numpy(), images[:4])
    for subset in (0, 7):
        with user_error(f"{subset} images are requested, the split has 6"):
            on_device(images, "cpu", subset)


@pytest.mark.parametrize("levels", [256, 2, 4, 100])
def test_noise_is_uniform_and_images_stay(levels):
    x = torch.arange(levels, dtype=torch.uint8).repeat(2_000_000 // levels)
    before = x.clone()
    y = dequantise(x, levels, torch.Generator().manual_seed(0))
    assert y.dtype == torch.float32
    assert torch.equal(x, before)
    u = y.double() * levels - x
    assert abs(u.mean() - 0.5) < 1e-3
    assert abs(u.var() - 1 / 12) < 1e-3  # sd of the mean: 2e-4


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_dequantisation_survives_the_extreme_draws(u, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, u))
    for levels in range(2, 257):
        x = torch.arange(levels, dtype=torch.uint8)
        y = dequantise(x, levels, torch.Generator())
        assert 0 < y.min() <= y.max() < 1
        assert torch.equal((y * levels).floor().to(torch.uint8), x)
