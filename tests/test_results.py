"""Result files: read back as written, sealed, refused where they are something else; and where they come from."""

import errno
import json
import os
import re
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from refusals import user_error
from waiting import git

from vaeglow import results
from vaeglow.data.arrays import read_info
from vaeglow.errors import UserError
from vaeglow.files import read_csv, read_json, sha256_file, sha256_json, write_json
from vaeglow.paths import IDENTITY, RESULTS, identity, kind_of, result_path
from vaeglow.reporting import traced
from vaeglow.results import SEAL, Result, check_together, content_sha256, read_result, write_result
from vaeglow.verify import read_checked

RUN = {"preset": "demo", "dataset": "photos32", "model": "vae", "seed": 0}
MADE = {"commit": "c", "dirty": True, "started": "2000-01-01T00:00:00+00:00"}
KEYS = {"commit", "dirty", "source_sha256", "python", "versions", "platform", "device", "started", "finished"}
OF_NO_WEIGHTS = {"timing.json", "timings", "fid_reference", "blobs.json"}
IMAGES = np.arange(6, dtype=np.uint8).reshape(2, 3)
CONTENT = {**RUN, "fid": 1.5, "counts": {"1": 2}, "name": "x"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/model").write_text("weights")
    return tmp_path


def test_a_result_is_read_as_it_was_written(folder):
    arrays = {"images": IMAGES, "more": np.ones(2)}
    write_result("a.npz", CONTENT, [folder / "results/model"], MADE, arrays)
    result = read_result("a.npz", ("images",), preset="demo", fid=1.5)
    assert result.content == read_checked(Path("a.npz")) and result.content.items() >= CONTENT.items()
    assert result.value("inputs") == {"results/model": sha256_file("results/model")}
    assert result.commit == "c+dirty" and result.number("counts", "1") == 2
    assert result.value("provenance", "finished") > MADE["started"] and "finished" not in MADE
    assert identity(result.content) == RUN
    assert [*result.arrays] == ["images"] and np.array_equal(result.arrays["images"], IMAGES)
    write_result("a.json", CONTENT, [], MADE)
    assert read_result("a.json").content.items() >= CONTENT.items()


def test_a_seal_is_of_all_content_and_of_nothing_else():
    write_result("a.npz", CONTENT, [], MADE, {"images": IMAGES})
    whole = read_result("a.npz").content
    digest = whole["provenance"].pop(SEAL)
    read = json.loads(json.dumps(dict(reversed(whole.items())), indent=4))  # order and white space are no content
    assert content_sha256(read, {"images": IMAGES}) == digest
    changes = ({"fid": 1.25}, {"counts": {"1": 3}}, {"more": None}, {"provenance": {"commit": "d"}})
    digests = {content_sha256(whole | changed, {"images": IMAGES}) for changed in changes}
    digests |= {content_sha256(whole, arrays) for arrays in ({"images": IMAGES.T}, {})}
    assert len(digests - {digest}) == 6


@pytest.mark.parametrize(
    ("content", "expected", "says"),
    [
        (None, {}, "a.json does not exist: run the step that makes it first"),
        (b"{", {}, "a.json is not valid JSON"),
        (b"\xff\xfe{", {}, "a.json is not valid JSON"),
        (b"[1]", {}, "a.json is not a JSON object"),
        (b'{"seed": 1}', {"seed": 0}, "a.json: seed is 1, expected 0: run snakemake again"),
        (b"{}", {"seed": 0}, "a.json lacks 'seed'"),
    ],
)
def test_what_is_no_such_result_is_refused_in_one_line(content, expected, says):
    if content is not None:
        Path("a.json").write_bytes(content)
    with user_error(says):
        read_result("a.json", **expected)


@pytest.mark.parametrize("value", [None, True, "1", float("nan")])
def test_a_number_is_finite(value):
    with user_error("a.json: fid is .*, not a finite number"):
        Result(Path("a.json"), {"fid": value}).number("fid")


def test_a_damaged_npz_is_one_line_wherever_the_damage_is():
    """Bits of every byte of the first array's own fields, and of some bytes of the rest: it is read, or a line."""
    write_result("a.npz", CONTENT, [], MADE, {"images": np.arange(5000, dtype=np.uint8), "more": np.ones(2)})
    path = Path("a.npz")
    whole = path.read_bytes()
    refusals = 0
    for at, bit in product([*range(200), *range(200, len(whole), 97)], (1, 16, 128)):
        damaged = bytearray(whole)
        damaged[at] ^= bit
        path.write_bytes(damaged)
        try:
            read_result(path, None)
        except UserError as error:
            refusals += 1
            assert "a.npz is damaged or not a result" in str(error)
    assert refusals > 200


def test_a_place_that_cannot_be_written_is_one_line():
    Path("file").touch()
    for path, says in (("file/a.json", "a folder in this path is a file"), ("x" * 300, "the name is too long")):
        with user_error(f"^cannot write .*: {says}: "):
            write_json(path, {})


def made(name: str, **content: object) -> Result:
    Path(name).touch()
    return Result(Path(name), {**RUN, "data_sha256": "d", "weights_sha256": "w", "inputs": {}, **content})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"weights_sha256": "x"}, "weights_sha256"),
        ({"model": "glow", "data_sha256": "x"}, "data_sha256"),
        ({"model": "glow", "inputs": {"resources/weights/i.safetensors": "x"}}, "resources/weights/i.safetensors"),
    ],
)
def test_results_that_do_not_belong_together(other, says):
    inputs = {"resources/weights/i.safetensors": "i"}
    with user_error(f"^b.json and a.json differ in .*{says}"):
        check_together([made("a.json", inputs=inputs), made("b.json", **other)])
    check_together([made("a.json"), made("b.json", dataset="other", data_sha256="x", weights_sha256="x")])


def test_seeds_of_two_machines_have_references_of_other_bytes():
    reference = "results/tiny/blobs/fid_reference/test.npz"
    check_together([made("a.json", inputs={reference: "x"}), made("b.json", inputs={reference: "y"})])


def test_a_result_belongs_to_the_version_it_was_made_from_of_another():
    write_result("a.json", CONTENT, [], MADE)
    write_result("b.json", CONTENT, ["a.json"], MADE)
    check_together(map(read_result, ("a.json", "b.json")))
    write_result("a.json", CONTENT | {"fid": 2.0}, [], MADE)
    with user_error(r"differ in a\.json"):
        check_together(map(read_result, ("a.json", "b.json")))


def test_a_path_says_what_it_is_of():
    names = {**RUN, "temperature": 0.5, "protocol": "test-10k", "space": "prior", "started": "2026"}
    for what in RESULTS:
        found, said = kind_of(result_path("", what, **names).as_posix())
        assert found == what and said == {key: str(names[key]) for key in said}
    assert kind_of("demo/photos32/vae/seedx/latents.json") == kind_of("notes.json") == ("", {})
    assert result_path("results", "samples", **RUN, temperature=0) == Path(
        "results/demo/photos32/vae/seed0/samples/T0.0.npz"
    )


def test_json_comes_back(tmp_path):
    path = tmp_path / "x" / "a.json"
    value = {"a": [1, 2.5, None, "ä"], "b": {"c": True}}
    write_json(path, value)
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == value and [*path.parent.iterdir()] == [path]


def test_what_cannot_be_opened_is_refused_in_one_line(folder, monkeypatch):
    Path("a.json").touch()
    for path in (folder, folder / "a.json/b.json"):
        with user_error(f"^cannot read {path}"):
            read_json(path)
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.json")
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=denied))
    with user_error(r"^cannot read a.json \(Permission denied\): check"):
        read_json("a.json")


def test_every_file_says_where_it_comes_from(results_tree):
    checked = 0
    for path in results_tree.glob("results/**/*.*"):
        known = path.suffix in (".json", ".npz", ".safetensors") and path.name != "config.json"
        if not known or {"state", "specs"} & {*path.parts}:
            continue
        about = read_checked(path)
        made = about["provenance"]
        assert made.keys() >= KEYS and made["versions"].keys() >= {"torch", "numpy"}, path
        assert made["started"] <= made["finished"], path
        wanted = {*IDENTITY, "data_sha256", "weights_sha256"}
        if {*path.parts} & OF_NO_WEIGHTS:
            wanted = {"dataset", "data_sha256"}
        elif path.suffix != ".safetensors":
            wanted.add("config_sha256")
        assert about.keys() >= wanted and (SEAL in made or path.suffix == ".safetensors"), path
        checked += 1
    assert checked > 30


def test_a_row_of_table_2_leads_to_its_config_data_weights_and_commit(results_tree, monkeypatch):
    """Down from a number in the published CSV; that all inputs have the hashes they are named with, verify sees."""
    monkeypatch.chdir(results_tree)
    rows = read_csv("results/table2.full.csv")
    assert tuple(rows[0])[-len(traced.COLUMNS) :] == traced.COLUMNS
    row = next(row for row in rows if row["run"] == "vaeglow")
    evidence = traced.evidence_of(row)
    assert [Path(path).name for path in evidence] == ["training.json", "likelihood.json", "T1.0.json"] * 2  # two seeds
    metrics = {Path(path): read_json(path) for path in evidence if "/metrics/" in path}
    assert row["fid"] == f"{np.mean([content['fid'] for content in metrics.values()]):.2f}"
    for key, column in {"seed": "seeds", "config_sha256": "config_sha256", "weights_sha256": "weights_sha256"}.items():
        assert re.split("[; ]+", row[column]) == [str(content[key]) for content in metrics.values()]
    for path, content in metrics.items():
        run = path.parents[2]
        about = read_checked(run / "model.safetensors")
        assert content["weights_sha256"] == about["weights_sha256"]
        assert content["config_sha256"] == sha256_json(read_json(run / "config.json")) == sha256_json(about["config"])
        assert content["data_sha256"] == sha256_json(read_info("resources/data/blobs")["sha256"]) == row["data_sha256"]
        assert {f"{run}/model.safetensors", f"{run}/samples/T1.0.npz"} <= content["inputs"].keys()
    made = results.collect()
    assert row["commit"] == made["commit"] + ("+dirty" if made["dirty"] else "")
    assert row["source_sha256"] == made["source_sha256"]
    assert "2000" < row["started"] <= row["finished"]


def test_provenance_reads_this_checkout_and_not_one_around_it(tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet")
    package = tmp_path / "vaeglow"
    package.mkdir()
    (package / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit, dirty = results.git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    curves = tmp_path / "config/reference"
    curves.mkdir(parents=True)
    (curves / "cpu.csv").touch()
    assert results.git_state(tmp_path) == (commit, False)  # a study writes these beside its trainings
    monkeypatch.setattr(results, "PACKAGE", tmp_path)
    digests = {results.source_sha256.__wrapped__()}
    for name in ("b.py", "page.md.j2", "notes.txt"):
        (package / name).write_text("c = 1\n")
        digests.add(results.source_sha256.__wrapped__())
    assert len(digests) == 3  # of Python files and templates
    assert results.git_state(tmp_path) == (commit, True)
    assert results.git_state(package) == ("unknown", None)
    monkeypatch.setenv("PATH", "")
    assert results.git_state(tmp_path) == ("unknown", None)


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        # Two generations with one model name; twice, as of two cores.
        ("cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n" * 2, "AMD EPYC, family 25, model 1"),
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n" * 2, "AMD EPYC, family 26, model 2"),
        ("CPU architecture: 8\nCPU part\t: 0xd0c\n", "aarch64"),
    ],
)
def test_a_cpu_is_named_with_its_generation(cpuinfo, name, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **_: cpuinfo)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert results.device_name("cpu") == name
