"""Sets of samples: each measured as if alone, what is kept of one, memory, and what tables say of their spread."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_tools import ROOT, shipped_config
from table_tools import change, form, row, run_table, spec_of, write_run

from vaeglow.config import effective, merge, plan
from vaeglow.config.check import check_config
from vaeglow.data import arrays as array_files
from vaeglow.errors import UserError
from vaeglow.evaluation import fid
from vaeglow.evaluation.fid import frechet_distance, image_features
from vaeglow.evaluation.images import Reference
from vaeglow.evaluation.kid import kernel_inception_distance
from vaeglow.evaluation.neighbours import compare_neighbours
from vaeglow.evaluation.sample_sets import measure_sets


class Corners(torch.nn.Module):
    """Stands for Inception: twelve features, the pixels of a 2x2 image."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images.flatten(1)[:, :, None, None]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def images_of(count: int, seed: int, most: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, (count, 3, 2, 2), np.uint8)


def reference_of(images: np.ndarray, count: int, sets: int = 1) -> Reference:
    features, statistics = image_features(images, Corners(), 12, 7, "cpu")
    about = {"images": count, "features": 12, "sets": sets, "levels": 256, "stretch": False}
    return Reference(statistics.mean, statistics.covariance, features, about)


def measured(samples: np.ndarray, reference: Reference) -> tuple[np.ndarray, dict[str, Any]]:
    return measure_sets(samples, Corners(), reference, 7, torch.device("cpu"))


def test_each_set_is_measured_as_if_it_were_alone() -> None:
    samples, real = images_of(100, 0, 200), images_of(30, 1)
    features, found = measured(samples, reference_of(real, 30, sets=3))
    alone = [measured(samples[start : start + 30], reference_of(real, 30)) for start in (0, 30, 60)]
    distances = [one["fid"] for _, one in alone]
    assert found["fid_by_set"] == pytest.approx(distances, rel=1e-12) and len(set(distances)) == 3
    assert (found["fid"], found["fid_sd"]) == pytest.approx((np.mean(distances), np.std(distances, ddof=1)))
    assert found["fid_sets"] == 3
    np.testing.assert_array_equal(features, alone[0][0])
    first = alone[0][1]
    assert first["fid_sd"] is None and first["fid_by_set"] == [first["fid"]]
    for name in ("kid", "kid_standard_error", "precision", "recall", "density", "coverage", "diversity"):
        assert found[name] == first[name]


def test_the_spread_is_that_of_fresh_samples() -> None:
    """Over 40 sets: about the standard deviation that 40 other draws show."""
    reference = reference_of(images_of(50, 1), 50, sets=40)
    one, other = (measured(images_of(2000, seed, 200), reference)[1]["fid_sd"] for seed in (2, 3))
    assert 0 < one == pytest.approx(other, rel=0.5)


def test_features_of_so_many_images_are_kept_and_fid_is_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, real = images_of(50, 0, 200), images_of(50, 1)
    features, whole = measured(samples, reference_of(real, 50))
    assert whole["feature_images"] == len(features) == 50
    monkeypatch.setattr(array_files, "MOST_FEATURES", 12)
    reference = reference_of(real, 50)
    kept, found = measured(samples, reference)
    chosen = np.arange(12) * 50 // 12  # evenly spaced
    np.testing.assert_array_equal(kept, features[chosen])
    np.testing.assert_allclose(reference.features, real[chosen].reshape(12, 12) / 255, rtol=1e-6)
    assert found["fid"] == whole["fid"] and found["feature_images"] == 12
    wanted = kernel_inception_distance(kept, reference.features, "cpu") | compare_neighbours(
        kept, reference.features, "cpu"
    )
    assert {name: found[name] for name in wanted} == wanted and found["kid"] != whole["kid"]


@pytest.mark.parametrize("count", [100, 1000])
def test_features_that_are_not_kept_are_let_go(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is constant in the number of images: a batch, the one on the way, and what is kept."""
    monkeypatch.setattr(array_files, "MOST_FEATURES", 20)
    alive: list[weakref.ref] = []

    def batches(images: np.ndarray, *_: object, **__: object) -> Iterator[torch.Tensor]:
        for start in range(0, len(images), 10):
            assert sum(one() is not None for one in alive) <= 1
            features = torch.from_numpy(images[start : start + 10].reshape(-1, 12) / np.float32(255))
            alive.append(weakref.ref(features))
            yield features
            del features

    monkeypatch.setattr(fid, "extract_features", batches)
    features, statistics = image_features(images_of(count, 0), Corners(), 12, 10, "cpu")
    assert features.shape == (20, 12) and features.base is None and statistics.count == count
    assert len(alive) == count / 10


def test_distance_of_streamed_sets_is_that_of_all_rows_at_once() -> None:
    """By the textbook: NumPy's mean and covariance of all features, in float64."""
    samples, real = images_of(300, 0, 200), images_of(300, 1)
    rows = [images.reshape(300, 12).astype(np.float64) / 255 for images in (samples, real)]
    (m1, c1), (m2, c2) = ((each.mean(0), np.cov(each, rowvar=False)) for each in rows)
    found = measured(samples, reference_of(real, 300))[1]["fid"]
    assert found == pytest.approx(frechet_distance(m1, c1, m2, c2), rel=1e-6)


# ------------------------------------------------------------------------------------------- planning and tables
def whole(changes: dict) -> dict:
    schema, published = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
    return check_config(merge(shipped_config(), changes), schema, published)


def test_a_protocol_says_all_five_things_and_runs_draw_enough_samples() -> None:
    plain = effective(shipped_config(), "demo")
    for name, protocol in plain["protocols"].items():
        found = plan.protocol(plain, name)
        assert set(found) == {"split", "images", "features", "sets", "stretch"} and protocol.items() <= found.items()
    assert plan.protocol(plain, "dai-wipf")["stretch"] is True
    several = whole({"presets": {"demo": {"protocols": {"test-100-2048": {"sets": 4}}}}})
    assert plan.sample_counts(several["demo"])["photos32"] == 400
    assert plan.spec(several["demo"], "tables", "table2")["sets"] == 4
    claims = plan.spec(several["demo"], "claims")["claims"]
    assert {one["sets"] for one in claims.values() if one["protocol"] == "test-100-2048"} == {4}


def test_tables_show_the_spread_and_whose_it_is(tmp_path: Path) -> None:
    results, rows = tmp_path / "results", [row("vae", 0.0)]
    several = {"sets": 3, "seeds": [0, 3], "show": ["model", "fid", "kid"]}
    for seed, spread in ((0, 0.3), (3, 0.4)):
        write_run(results, "vae", [0.0], seed=seed, fid=10.0 + seed, fid_by_set=[9.0, 10.0, 11.0], fid_sd=spread)
    spec = spec_of("quality", rows, **several)
    (line,) = run_table(results, spec)
    assert (line["fid"], line["fid_sd"], line["fid_sd_over_sets"], line["fid_sets"]) == ("11.50", "2.12", "0.35", "3")
    text = form(results, spec)
    assert "11.50 ± 2.12 (± 0.35)" in text and "(± 0.00200)" in text
    assert "mean over 3 sets of 500 samples, each set against 500 images" in text
    assert "its standard deviation over the 3 sets" in text


def test_a_single_set_has_no_spread(tmp_path: Path) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)])
    write_run(results, "vae", [0.0])
    assert run_table(results, spec)[0]["fid_sd_over_sets"] == "" and "±" not in form(results, spec)


@pytest.mark.parametrize(
    ("values", "says"), [({"fid_sets": 2}, "fid_sets is 2, wanted is 1"), ({"stretch": True}, "stretch is True")]
)
def test_numbers_of_other_sets_or_stretched_samples_are_refused(tmp_path: Path, values: dict, says: str) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)])
    write_run(results, "vae", [0.0])
    change(results / "demo/photos32/vae/seed0/metrics/test-500-64/T0.0.json", **values)
    with pytest.raises(UserError, match=says):
        run_table(results, spec)


def test_a_stretched_protocol_says_so(tmp_path: Path) -> None:
    results, spec = tmp_path / "results", spec_of("quality", [row("vae", 0.0)], stretch=True)
    write_run(results, "vae", [0.0], stretch=True)
    assert run_table(results, spec)[0]["stretch"] == "yes"
    assert "stretched to the whole range, and those of real images not" in form(results, spec)
