"""`make slurm-demo`: the demo's Table 2 through a Slurm started here, with the shipped profile, beside the local one.

Prints what Snakemake says, Slurm's list of jobs, both tables, and whether their numbers agree. The local table is
results/table2.csv, made by `make table2` where it is missing. Everything on one core at a time: allow it half an hour.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import slurm_tools
from slurm_tools import ROOT, differences

TABLE = "results/table2"
FOLDER = ROOT / "build/slurm-demo"  # of the run on the cluster; kept, so that a second call goes on


def main() -> None:
    if missing := slurm_tools.missing():
        sys.exit(f"error: {missing}")
    subprocess.run([sys.executable, "-m", "snakemake", "--cores", "1", f"{TABLE}.csv"], cwd=ROOT, check=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm_tools.running(Path(folder)) as slurm:
        submitted = slurm.submit(FOLDER, f"{TABLE}.csv")
        try:
            status = submitted.wait()
        finally:
            submitted.terminate()
            submitted.wait()
        print("\nSlurm's jobs\n\n" + slurm_tools.table_of(slurm.jobs()))
    if status:
        sys.exit(f"error: Snakemake ended with status {status}: its last lines above say why")
    for name, root in (("local", ROOT), ("through Slurm", FOLDER)):
        print("\n".join(["", name, "", *table_lines(root / f"{TABLE}.md")]))
    found = differences(ROOT / f"{TABLE}.csv", FOLDER / f"{TABLE}.csv")
    print(f"\nother than time, device and commit the tables differ in: {', '.join(found) or 'nothing'}")
    sys.exit(bool(found))


def table_lines(path: Path) -> list[str]:
    """The title and the rows of a table's page."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(("#", "|"))]


if __name__ == "__main__":
    main()
