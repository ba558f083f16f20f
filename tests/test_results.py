"""Result files: read back as written, sealed, refused where they are of something else or do not belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.paths import RESULTS, identity, kind_of, result_path
from vaeglow.results import SEAL, Result, check_together, content_sha256, read_result, write_result
from vaeglow.verify import read_checked

RUN = {"preset": "demo", "dataset": "photos32", "model": "vae", "seed": 0}
MADE = {"commit": "c", "dirty": True, "started": "2000-01-01T00:00:00+00:00"}
CONTENT = {**RUN, "fid": 1.5, "counts": {"1": 2}, "name": "x"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/model").write_text("weights")
    return tmp_path


@pytest.mark.parametrize("name", ["a.json", "a.npz"])
def test_a_result_is_read_as_it_was_written(name, folder):
    arrays = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3), "more": np.ones(2)} if name == "a.npz" else None
    write_result(name, CONTENT, [folder / "results/model"], MADE, arrays)
    result = read_result(name, ("images",) if arrays else (), preset="demo", fid=1.5)
    assert result.content == read_checked(Path(name)) and result.content.items() >= CONTENT.items()
    assert result.value("inputs") == {"results/model": sha256_file("results/model")}
    assert result.commit == "c+dirty" and result.number("counts", "1") == 2
    assert result.value("provenance", "finished") > MADE["started"] and "finished" not in MADE
    assert identity(result.content) == RUN
    if arrays:
        assert list(result.arrays) == ["images"] and np.array_equal(result.arrays["images"], arrays["images"])


def test_a_result_hands_its_own_inputs_on():
    write_result("a.json", CONTENT, ["results/model"], MADE)
    write_result("b.json", CONTENT, [read_result("a.json")], MADE)
    assert list(read_result("b.json").value("inputs")) == ["results/model", "a.json"]


def test_a_seal_is_of_all_content_and_of_nothing_else():
    arrays = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    write_result("a.npz", CONTENT, [], MADE, arrays)
    whole = read_result("a.npz").content
    digest = whole["provenance"].pop(SEAL)
    read = json.loads(json.dumps(dict(reversed(whole.items())), indent=4))  # order and white space are no content
    assert content_sha256(read, arrays) == digest
    for changed in ({"fid": 1.25}, {"counts": {"1": 3}}, {"more": None}, {"provenance": {"commit": "d"}}):
        assert content_sha256({**whole, **changed}, arrays) != digest
    assert digest != content_sha256(whole, {"images": arrays["images"].T}) != content_sha256(whole, {}) != digest


@pytest.mark.parametrize(
    ("text", "expected", "says"),
    [
        (None, {}, "a.json does not exist: run the step that makes it first"),
        ("{", {}, "a.json is not valid JSON"),
        ("[1]", {}, "a.json is not a JSON object"),
        ('{"seed": 1}', {"seed": 0}, "a.json: seed is 1, expected 0: run snakemake again"),
        ("{}", {"seed": 0}, "a.json lacks 'seed'"),
    ],
)
def test_what_is_no_such_result_is_refused_in_one_line(text, expected, says):
    if text is not None:
        Path("a.json").write_text(text)
    with pytest.raises(UserError, match=says) as refused:
        read_result("a.json", **expected)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), [1]])
def test_a_number_is_finite(value):
    with pytest.raises(UserError, match=r"a.json: fid is .*, not a finite number"):
        Result(Path("a.json"), {"fid": value}).number("fid")


def made(name: str, **content: object) -> Result:
    return Result(Path(name), {**RUN, "data_sha256": "d", "weights_sha256": "w", "inputs": {}, **content})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"weights_sha256": "x"}, "weights_sha256"),
        ({"model": "glow", "data_sha256": "x"}, "data_sha256"),
        ({"model": "glow", "inputs": {"results/demo/photos32/fid_reference/p.npz": "x"}}, "fid_reference/p.npz"),
        ({"model": "glow", "inputs": {"resources/weights/i.safetensors": "x"}}, "resources/weights/i.safetensors"),
    ],
)
def test_results_that_do_not_belong_together(other, says):
    inputs = {"results/demo/photos32/fid_reference/p.npz": "r", "resources/weights/i.safetensors": "i"}
    with pytest.raises(UserError, match=f"^b.json and a.json differ in .*{says}"):
        check_together([made("a.json", inputs=inputs), made("b.json", **other)])
    check_together([made("a.json"), made("b.json", dataset="other", data_sha256="x", weights_sha256="x")])


def test_a_result_belongs_to_the_version_it_was_made_from_of_another():
    write_result("a.json", CONTENT, [], MADE)
    write_result("b.json", CONTENT, ["a.json"], MADE)
    check_together(map(read_result, ("a.json", "b.json")))
    write_result("a.json", CONTENT | {"fid": 2.0}, [], MADE)
    with pytest.raises(UserError, match=r"differ in a\.json"):
        check_together(map(read_result, ("a.json", "b.json")))


def test_a_path_says_what_it_is_of():
    names = {**RUN, "temperature": 0.5, "protocol": "test-10k", "space": "prior"}
    for what in RESULTS:
        found, said = kind_of(result_path("", what, **names).as_posix())
        assert found == what and said == {key: str(names[key]) for key in said}
    assert kind_of("demo/photos32/vae/seedx/latents.json") == kind_of("notes.json") == ("", {})
    assert result_path("results", "samples", **RUN, temperature=0) == Path(
        "results/demo/photos32/vae/seed0/samples/T0.0.npz"
    )
