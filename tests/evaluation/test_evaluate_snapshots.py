"""Quality against training time: each point is what the other steps say of the same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_tools import Run, flags, resolved, save_model

from vaeglow.errors import UserError
from vaeglow.steps import evaluate, evaluate_snapshots, fid_reference, likelihood
from vaeglow.steps import sample as sample_step
from vaeglow.training.checkpoint import SNAPSHOTS_KEY, read_snapshots
from vaeglow.weights import load_model, write_tensors

CPU, TEMPERATURE, COMMON = torch.device("cpu"), 0.5, flags(device="cpu", threads=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory, blobs_dir, vae_run) -> Run:
    """A run in two phases whose second kept its weights twice."""
    folder = tmp_path_factory.mktemp("run")
    return Run(folder, resolved("vaeglow", snapshots=[0.25, 0.5]), blobs_dir, vae_run).train()


@pytest.fixture(scope="module")
def reference(tmp_path_factory, blobs_dir, inception_file) -> Path:
    output = tmp_path_factory.mktemp("reference") / "reference.npz"
    protocol = flags(protocol="test-8-64", split="test", images=8, features=64, sets=1)
    files = flags(data_dir=blobs_dir, weights=inception_file, batch_size=4, output=output)
    fid_reference.main([*protocol, *files, *COMMON])
    return output


def measured(run: Run, output: Path, reference: Path, weights: Path, **changed: object) -> dict:
    options = {"model": run.model, "kept_weights": run.snapshots, "training": run.training, "data_dir": run.data}
    options |= {"temperature": TEMPERATURE, "batch_size": 4, "likelihood_images": 8, "output": output}
    evaluate_snapshots.main(flags(**options | changed, reference=reference, weights=weights, device="cpu"))
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def result(run, reference, inception_file, tmp_path_factory) -> dict:
    return measured(run, tmp_path_factory.mktemp("points") / "T0.5.json", reference, inception_file)


def test_points_lie_on_the_runs_clock(result, run, vae_run, reference, inception_file, tmp_path):
    base, summary, points = vae_run.summary(), run.summary(), result["points"]
    assert [point["fraction"] for point in points] == [0.25, 0.5, 1.0]
    assert [point["epoch"] for point in points] == [0.5, 1.0, 2.0]
    assert result["base_seconds"] == base["train_seconds_by_phase"][0] > 0
    seconds = [info["seconds"] for info, _ in read_snapshots(run.snapshots)]
    assert [point["seconds"] for point in points] == [*seconds, summary["train_seconds_by_phase"][-1]]
    assert sorted(seconds) == seconds and points[-1]["seconds"] > seconds[-1]
    for point in points:
        assert point["total_seconds"] == point["seconds"] + result["base_seconds"]
    assert result["weights_sha256"] == run.summary()["weights_sha256"]
    wanted = {"protocol": "test-8-64", "temperature": 0.5, "split": "test", "likelihood_images": 8}
    wanted |= {"fid_samples": 8, "fid_reference_images": 8, "fid_features": 64}
    assert wanted.items() <= result.items()
    one = measured(vae_run, tmp_path / "T0.5.json", reference, inception_file, likelihood_images=500)
    (point,) = one["points"]  # of a run without snapshots
    assert point["fraction"] == 1 and one["base_seconds"] == 0 and one["likelihood_images"] == 12
    assert point["total_seconds"] == point["seconds"] == base["train_seconds_by_phase"][0]


@pytest.mark.parametrize("which", [0, 2])
def test_each_point_is_what_the_other_steps_say(which, result, run, reference, inception_file, tmp_path):
    """The first snapshot and the finished model, through `sample`, `evaluate` and `likelihood`."""
    path, point = run.model, result["points"][which]
    if which == 0:
        model, about = load_model(run.model, CPU)
        model.load_state_dict(read_snapshots(run.snapshots)[0][1])
        path = tmp_path / "model.safetensors"
        save_model(path, model, about["config"], {"data": about["data"]})
    samples, metrics, bits = tmp_path / "T0.5.npz", tmp_path / "T0.5.json", tmp_path / "likelihood.json"
    sample_step.main(flags(model=path, temperature=TEMPERATURE, count=8, device="cpu", output=samples))
    files = flags(samples=samples, reference=reference, weights=inception_file, batch_size=4)
    evaluate.main([*files, *COMMON, *flags(output=metrics)])
    found = json.loads(metrics.read_text())
    for key in ("fid", "kid", "kid_standard_error", "exploded_samples"):
        assert point[key] == pytest.approx(found[key], rel=1e-6)
    asked = flags(model=path, data_dir=run.data, batch_size=4, importance_images=1, device="cpu")
    likelihood.main([*asked, "--importance-samples", "1", *flags(output=bits)])
    values = np.load(tmp_path / "likelihood.npz")["bits_per_dim_1"][:8]
    assert point["bits_per_dim"] == pytest.approx(values.mean(), rel=1e-9)
    assert point["standard_error"] == pytest.approx(values.std(ddof=1) / 8**0.5, rel=1e-9)


def test_garbage_on_the_way_does_not_end_the_curve(run, reference, inception_file, tmp_path, capsys):
    """Weights that are not finite: no FID, no KID and no bits/dim for that point, how many overflowed, and the rest."""
    packed = {}
    (info, broken), (_, whole) = read_snapshots(run.snapshots)
    for index, state in enumerate((broken, whole)):
        spoil = torch.nan if index == 0 else 1.0
        packed |= {f"{index}/{name}": t * spoil if t.is_floating_point() else t for name, t in state.items()}
    infos = [{**info, "fraction": fraction} for fraction in (0.25, 0.5)]
    whose = {key: info[key] for key in ("config_sha256", "data_sha256")}
    write_tensors(tmp_path / "snapshots.safetensors", packed, SNAPSHOTS_KEY, {**whose, "snapshots": infos})
    changed = {"kept_weights": tmp_path / "snapshots.safetensors"}
    first, *others = measured(run, tmp_path / "T0.5.json", reference, inception_file, **changed)["points"]
    for key in ("fid", "kid", "kid_standard_error", "bits_per_dim", "standard_error"):
        assert first[key] is None
        assert all(isinstance(point[key], float) for point in others)
    assert [point["exploded_samples"] for point in (first, *others)] == [8, 0, 0]
    assert "fid None" in capsys.readouterr().out


def test_files_of_another_run_are_refused(run, vae_run, reference, inception_file, tmp_path):
    other = Run(tmp_path / "other", resolved("vaeglow", snapshots=[0.5], learning_rate=0.01), run.data, vae_run).train()
    absent, foreign = tmp_path / "absent.safetensors", tmp_path / "foreign.npz"
    with np.load(reference, allow_pickle=False) as archive:
        arrays = dict(archive)
    metadata = json.loads(str(arrays["metadata"]))
    np.savez(foreign, **arrays | {"metadata": np.array(json.dumps(metadata | {"dataset": "mine"}))})
    for message, real, changed in [
        (f"{vae_run.training}: weights_sha256 is", reference, {"training": vae_run.training}),
        (f"{other.snapshots} is not of the model's run", reference, {"kept_weights": other.snapshots}),
        (f"{absent} is missing", reference, {"kept_weights": absent}),
        ("differ in dataset (blobs and mine)", foreign, {}),
    ]:
        with pytest.raises(UserError) as refused:
            measured(run, tmp_path / "T0.5.json", real, inception_file, **changed)
        assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "T0.5.json").exists()
