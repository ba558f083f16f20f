"""Draw one figure from the arrays and numbers of finished runs; the spec's `kind` says how."""

from pathlib import Path

from vaeglow.files import read_json
from vaeglow.steps import cli


@cli.step
def main(*, spec: Path, results_root: Path, data_root: Path, output: list[Path]) -> None:
    """Read, check, draw; write .png and .pdf.

    Args:
        data_root: folder that holds the prepared datasets' folders
    """
    content = read_json(spec)
    from vaeglow.reporting import style
    from vaeglow.reporting.figures import draw

    style.save(draw(content, results_root, data_root), *output)
