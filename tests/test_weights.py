"""Weights files: whole, self-describing, and refused in one line when they are anything else."""

import random
from pathlib import Path

import pytest
import torch
from refusals import user_error
from run_tools import initialised, resolved, same_tensors, save_model
from safetensors.torch import save_file

from vaeglow.errors import UserError
from vaeglow.weights import KEY, load_model, read_tensors, tensors_sha256, write_tensors

ABOUT = {"data": {"sha256": {"test": "d"}, "mean": [0.5]}, "provenance": {"commit": "c"}}


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, initialised("glow"), resolved("glow"), ABOUT)
    return path


def load_refused(path: Path, says: str) -> None:
    with user_error(f"{path}.*{says}"):
        load_model(path, "cpu")


def test_a_file_has_its_description_and_the_same_bytes_every_time(saved):
    """What it holds, of all kinds of model: `test_model_kinds.py`."""
    network = initialised("glow")
    content = saved.read_bytes()
    digest = tensors_sha256(network.state_dict())
    assert load_model(saved, "cpu")[1] == {"config": resolved("glow"), **ABOUT, "weights_sha256": digest}
    for _ in range(8):
        assert save_model(saved, network, resolved("glow"), ABOUT) == digest
        assert saved.read_bytes() == content


def test_the_hash_knows_names_types_shapes_and_values():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    base = {"a": a, "b": b}
    others = [{"a": a, "c": b}, {"a": b, "b": a}]
    others += [base | {"a": changed} for changed in (a.view(1, 2), a.view(torch.int32), -a)]
    assert len({*map(tensors_sha256, [base, *others])}) == 1 + len(others)
    assert tensors_sha256({"b": b, "a": a}) == tensors_sha256(base)


def test_truncated_files_and_files_of_other_kinds(saved):
    content = saved.read_bytes()
    for part in (*(content[: int(share * len(content))] for share in (0.0, 0.001, 0.3, 0.9999)), b"not a model"):
        saved.write_bytes(part)
        load_refused(saved, "truncated or not a safetensors file")
    tensors = {"weight": torch.ones(2)}
    save_file(tensors, saved)
    load_refused(saved, "has no 'vaeglow' metadata")
    write_tensors(saved, tensors, "vaeglow_state", {})
    load_refused(saved, "has no 'vaeglow' metadata")
    save_file(tensors, saved, metadata={KEY: "{}"})
    load_refused(saved, "corrupt")


def test_no_flipped_bit_anywhere_is_loaded(saved):
    content = saved.read_bytes()
    picks = random.Random(0)
    tensors, about = read_tensors(saved, KEY)
    header = 8 + int.from_bytes(content[:8], "little")
    places = [picks.randrange(header) for _ in range(60)] + [picks.randrange(header, len(content)) for _ in range(20)]
    refusals = 0
    for position in places:
        changed = bytearray(content)
        changed[position] ^= 1 << picks.randrange(7)
        saved.write_bytes(changed)
        try:
            loaded, found = read_tensors(saved, KEY)
        except UserError as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert found == about and same_tensors(loaded, tensors), position  # white space, say
    assert refusals >= 70


def test_a_missing_a_misshapen_and_a_surplus_tensor(saved):
    tensors, about = read_tensors(saved, KEY)
    name, *others = tensors
    for changed in (
        {key: tensors[key] for key in others},
        tensors | {name: torch.zeros(7, 7)},
        tensors | {"extra": torch.zeros(1)},
    ):
        write_tensors(saved, changed, KEY, about)
        load_refused(saved, "does not fit the model its own config describes")
