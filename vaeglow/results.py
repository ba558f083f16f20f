"""Result files: their identity, what they were made from and where, and a hash of their content. No torch.

A result is a JSON object, or an npz of arrays with that object as its text `metadata`. It holds the identity in its
path (preset, dataset, model, seed, temperature, ...), its own values, `inputs` (path -> sha256 of the file's bytes) and
`provenance`: what `collect` returned when the step began, the end time, and `content_sha256`, the hash of all else.
"""

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib import metadata
from math import isfinite
from pathlib import Path
from subprocess import DEVNULL, SubprocessError, check_output
from typing import Any

import numpy as np

from vaeglow.config import without
from vaeglow.data.arrays import Arrays, array_sha256
from vaeglow.errors import MAKE_AGAIN, UserError
from vaeglow.files import (
    DAMAGED,
    AnyPath,
    Config,
    Facts,
    atomic_path,
    read_json,
    sha256_file,
    sha256_json,
    unreadable,
    write_json,
)
from vaeglow.paths import IDENTITY, PACKAGE, shipped

CLONE = shipped(".")  # where the package is in one
# Their versions are recorded: they could change a number.
PACKAGES = "vaeglow torch torchvision numpy scipy pytorch-fid safetensors scikit-image scikit-learn pillow snakemake"
SOURCES = ("vaeglow", "workflow", "Snakefile", "config", ":(exclude)config/reference")  # that changes no result
DETERMINISTIC = "VAEGLOW_DETERMINISTIC"  # environment: 1 where `runtime.deterministic` is true
SEAL = "content_sha256"
SMALL = 4 << 20  # bytes of arrays up to which compression takes no time worth saving
REMEDY = "run snakemake again, or delete the file that is out of date"


@dataclass(frozen=True)
class Result:
    """A result file: its path, all its keys and, of an npz file, the arrays that were requested."""

    path: Path
    content: Facts
    arrays: Arrays = field(default_factory=dict)

    def value(self, *keys: str) -> Any:
        """A value by its key, or by nested keys, outermost first; UserError where the file has no such key."""
        value: Any = self.content
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise UserError(f"{self.path} lacks '{key}': {REMEDY}")
            value = value[key]
        return value

    def number(self, *keys: str) -> float:
        """The same, a finite number; UserError where it is none."""
        value = self.value(*keys)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise UserError(f"{self.path}: {keys[-1]} is {value}, not a finite number: {REMEDY}")
        return value

    def numbers(self, *keys: str) -> np.ndarray:
        """A list of numbers, one an image or a round, as float64 [n], or of such lists, [m, n].

        Raises:
            UserError: no numbers, or not all finite.
        """
        array = np.asarray(self.value(*keys), dtype=np.float64)
        if not array.size or not np.isfinite(array).all():
            raise UserError(f"{self.path}: {keys[-1]} does not hold a finite number for each image or round: {REMEDY}")
        return array

    @property
    def commit(self) -> str:
        """The commit the file was made from; `+dirty` when the source differed from it."""
        return self.value("provenance", "commit") + ("+dirty" if self.value("provenance").get("dirty") else "")


def read_result(path: AnyPath, arrays: Sequence[str] | None = (), **expected: Any) -> Result:
    """Read a result file.

    Args:
        path: of the file, .json or .npz.
        arrays: names of the arrays to read; None: all.
        **expected: values it must hold.

    Raises:
        UserError: missing, damaged, or of something else than expected.
    """
    path = Path(path)
    read: Arrays = {}
    if path.suffix != ".npz":
        content = read_json(path)
    else:
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = [name for name in archive.files if name != "metadata"] if arrays is None else arrays
                read = {name: archive[name] for name in names}
                content = json.loads(str(archive["metadata"]))
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: run the step that makes it first") from None
        except (*DAMAGED, LookupError, TypeError, AttributeError) as error:
            raise unreadable(error, path, f"{path} is damaged or not a result: {MAKE_AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object: {MAKE_AGAIN}")
    result = Result(path, content, read)
    for key, wanted in expected.items():
        value = result.value(key)
        if value != wanted:
            raise UserError(f"{path}: {key} is {shorten(value)}, expected {shorten(wanted)}: {REMEDY}")
    return result


def write_result(
    path: AnyPath,
    content: Config,
    inputs: Iterable[AnyPath | Result],
    provenance: Config,
    arrays: Arrays | None = None,
) -> None:
    """Write a result file, completely or not at all.

    Args:
        path: of the file; .npz where there are arrays.
        content: identity and values, JSON-able without NaN.
        inputs: files it was made from, or that belong to it, hashed now; the inputs of a result among them are added.
        provenance: what `collect` returned when the step began; the end time is added.
        arrays: by name.

    Raises:
        UserError: no room or no permission to write there.
    """
    named: dict[str, str] = {}
    for source in inputs:
        if isinstance(source, Result):
            named |= source.value("inputs")
            source = source.path
        named[relative(source)] = sha256_file(source)
    whole = {**content, "inputs": named, "provenance": {**provenance, "finished": now()}}
    whole["provenance"][SEAL] = content_sha256(whole, arrays or {})
    if arrays is None:
        return write_json(path, whole)
    text = json.dumps(whole, indent=2, allow_nan=False)
    save = np.savez_compressed if sum(a.nbytes for a in arrays.values()) < SMALL else np.savez
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        save(file, **arrays, metadata=np.array(text))


def relative(path: AnyPath) -> str:
    """A path relative to the working folder, where it lies below that."""
    path = Path(path).absolute()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()


def content_sha256(content: Config, arrays: Arrays) -> str:
    """Hex sha256 of a result's content and arrays, the same before it is written and after it is read."""
    unsealed = without(content, {"provenance": {SEAL: None}})
    plain = json.loads(json.dumps(unsealed))  # as it is read back: keys are strings
    hashes = {name: array_sha256(array) for name, array in arrays.items()}
    return sha256_json([plain, hashes])


# What is equal in results that share the values of these keys; bits/dim compare over as many images, dequantised alike.
SHARED = {
    "config_sha256": IDENTITY,
    "weights_sha256": IDENTITY,
    "data_sha256": ("dataset",),
    "dequantisation": ("preset", "dataset"),
}


def check_together(results: Iterable[Result]) -> None:
    """Refuse (UserError) results that do not belong together: two differ in what `SHARED` says, or in a file.

    Results made from one file (the Inception weights, samples) must record the same hash of it, and, where the file is
    among the results, the hash that it has now.
    """
    seen: dict[tuple, tuple[Any, Path]] = {}
    for result in results:
        facts = facts_of(result.content)
        facts[(relative(result.path),)] = sha256_file(result.path)
        for fact, value in facts.items():
            first, other = seen.setdefault(fact, (value, result.path))
            if first != value:
                raise UserError(
                    f"{result.path} and {other} differ in {fact[0]}, so they do not belong together: {REMEDY}"
                )


def facts_of(content: Config) -> dict[tuple, Any]:
    """What other results must not contradict: values by their key and whose they are, hashes by the file's name."""
    shared = {**SHARED, "images": ("preset", "dataset")} if "dequantisation" in content else SHARED
    facts = {(key, *map(content.get, owner)): content[key] for key, owner in shared.items() if content.get(key)}
    return facts | {(name,): digest for name, digest in compared_inputs(content).items()}


def compared_inputs(content: Facts) -> dict[str, str]:
    """The hashes of the inputs, by name, but for FID references: machines round their numbers differently."""
    inputs = content.get("inputs", {})
    return {name: digest for name, digest in inputs.items() if "/fid_reference/" not in name}


def shorten(value: Any) -> str:
    """A value for a message: the first 12 digits of a hash."""
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else repr(value)


# ------------------------------------------------------------------------------- where they were made


def machines(training: Result) -> list[str]:
    """The machines whose seconds a training summary adds up, its bases' first."""
    return training.content.get("device_by_phase") or [training.value("provenance", "device")]


def collect(device: str = "cpu") -> Facts:
    """The code, the software and the machine that are running now. Call it first: it records the time.

    Args:
        device: `cpu`, `cuda` or `cuda:N`, as the step uses it.
    """
    commit, dirty = git_state()
    versions = {}
    for name in PACKAGES.split():
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "commit": commit,
        "dirty": dirty,
        "source_sha256": source_sha256(),
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "device": device_name(device),
        "deterministic": os.getenv(DETERMINISTIC) == "1",
        "started": now(),
    }


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_state(root: Path = CLONE) -> tuple[str, bool | None]:
    """The commit checked out at `root`, and whether the source differs from it (new files count).

    ("unknown", None) without git, without a commit, or where `root` is not itself the checkout: a package
    installed inside some other project's virtual environment must not report that project's commit.
    """
    with suppress(OSError, SubprocessError):
        if (root / ".git").exists():
            return git(root, "rev-parse", "HEAD").strip(), bool(git(root, "status", "--porcelain", "--", *SOURCES))
    return "unknown", None


def git(root: Path, *words: str) -> str:
    """What a git command prints in the checkout at `root`; OSError or SubprocessError where it fails."""
    # GIT_DIR and similar variables, set inside a git hook, would point at another repository
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    return check_output(command, env=plain, stderr=DEVNULL, text=True, timeout=30)


@cache
def source_sha256() -> str:
    """Hex sha256 over the names and bytes of the package's Python files and templates, committed or not.

    It is the same in a clone and in a wheel, whose folder `shipped` is not of the package.
    """
    digest = sha256()
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")]):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("shipped/"):
            continue
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def device_name(device: str) -> str:
    """The name of the CPU or GPU of a torch device string: a CPU's with family and model.

    Virtual machines give CPUs of several generations one model name.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")
    text = known.read_text(errors="replace") if known.exists() else ""
    fields = dict(re.findall(r"^(model name|cpu family|model)[ \t]*:[ \t]*(.+)$", text, re.MULTILINE))
    if len(fields) < 3:  # not x86
        return fields.get("model name") or platform.processor() or platform.machine() or "unknown"
    return f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}"
