"""Pack what is finished of a preset into one file, for a repository such as Zenodo; unpack it, to draw all again.

`make archive` packs and `make figures FROM=...` unpacks; docs/study.md says what is in the file.
"""

import json
from hashlib import file_digest, sha256
from io import StringIO
from pathlib import Path
from shutil import copy, copyfileobj, copytree
from zipfile import ZipFile

from vaeglow.data.arrays import INFO_FILE
from vaeglow.errors import UserError
from vaeglow.files import DAMAGED, Facts, atomic_path, read_json, sha256_file
from vaeglow.steps import cli
from vaeglow.study import DATA, RESULTS, finished, others

SUMS = "SHA256SUMS"
CRATE = "ro-crate-metadata.json"
ABOUT = "Runs of 'Variational Autoencoders with Normalizing Flow Decoders' (arXiv 2004.05617), by vaeglow, preset "
README = """# {about}

- `results/`: tables, figures, `claims`; each names what it was made from. Below, of each run: config, history, results,
  the images shown and, where they were kept, the weights: `vaeglow.load(".../model.safetensors").sample(16)`.
- `config.json`: the whole config. `resources/data/`: the hashes of the data, without the images.
- `sha256sum -c SHA256SUMS` checks all files; `make figures FROM=this.zip`, in a checkout of vaeglow, draws again.
"""


def pack(file: Path, config: Facts) -> None:
    """Write the archive of what there is of a config's preset.

    Raises:
        UserError: no run is finished, or rocrate is missing.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise UserError("an archive needs rocrate: pip install -e '.[archive]'") from None
    root = RESULTS / config["preset"]
    about = ABOUT + config["preset"]
    study = read_json(root / "study.json")
    runs = finished(RESULTS, study)
    if not runs:
        raise UserError(f"{root} holds no finished run: train first, for example by `make table2`")
    names = others(RESULTS, study)
    for run, files in runs.items():
        names += [*files, f"{run}/model.safetensors"]
    paths = [RESULTS / name for name in names] + [DATA / Path(run).parts[1] / INFO_FILE for run in runs]
    if config.get("registration"):
        paths.append(Path(config["registration"]))
    members = {path.as_posix(): path for path in paths if path.is_file()}
    for pattern in ("tables/*", "figures/*", "claims.*"):
        members |= {f"results/{path.name}": path for path in root.glob(pattern)}  # where `publish` puts them
    texts = {"config.json": json.dumps(config, indent=2), "README.md": README.format(about=about)}
    hashes = {name: sha256_file(path) for name, path in members.items()}
    hashes |= {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
    texts[SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    crate = ROCrate()
    crate.name = crate.description = about
    crate.license = "https://spdx.org/licenses/MIT"
    crate.isBasedOn = "https://arxiv.org/abs/2004.05617"
    for name, source in ({name: StringIO(text) for name, text in texts.items()} | members).items():
        crate.add_file(source, name, record_size=True)
    with atomic_path(file) as temporary:
        crate.write_zip(temporary)


def unpack(file: Path, folder: Path) -> None:
    """Unpack an archive into a new folder, after a check of all its hashes; or copy there what a study keeps.

    Raises:
        UserError: it is no archive, incomplete or changed, or the folder is there.
    """
    if folder.exists():
        raise UserError(f"{folder} exists: delete it, or name another (TO=...)")
    try:
        if file.is_dir():  # study/runs: results, and what study/update.py added there and to docs/measured
            file.joinpath("config.json").stat()
            with atomic_path(folder) as temporary:
                copytree(file, temporary / "results")
                for name in ("config.json", "resources"):
                    temporary.joinpath("results", name).rename(temporary / name)
                shown = file.resolve().parents[1] / "docs/measured"
                for path in [*shown.glob("*.csv"), *shown.glob("*.png")]:  # what is drawn again
                    copy(path, temporary / "results")
            return
        with ZipFile(file) as archive:
            hashes = dict(line.split("  ", 1)[::-1] for line in archive.read(SUMS).decode().splitlines())
            for name in sorted({*archive.namelist(), *hashes} - {SUMS, CRATE}):
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise UserError(f"{file}: {name} would lie outside the folder: do not trust this file")
                with archive.open(name) as member:
                    if file_digest(member, "sha256").hexdigest() != hashes.get(name):
                        raise UserError(f"{file}: {name} is not what was packed: get the archive again")
            with atomic_path(folder) as temporary:
                for name in (*hashes, SUMS, CRATE):
                    temporary.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as member, open(temporary / name, "wb") as target:
                        copyfileobj(member, target)
    except (*DAMAGED, KeyError) as error:
        raise UserError(f"{file} is not complete, or not made by `make archive` ({error}): correct FROM=...") from None


@cli.step
def main(file: Path, *, config: dict | None = None, folder: Path | None = None) -> None:
    """Pack it, or unpack it where there is no config.

    Args:
        file: the archive, .zip; to draw from, also the folder that a study keeps
        config: of what is packed, as Snakemake knows it
        folder: what is unpacked becomes this folder
    """
    if (config is None) == (folder is None):
        raise UserError("give --config to pack, or --folder to unpack into")
    unpack(file, folder) if config is None else pack(file, config)
