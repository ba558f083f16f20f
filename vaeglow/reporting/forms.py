"""The readable forms of a table: fewer columns, HTML, LaTeX, and the notes that several kinds share. No torch."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaeglow.config import nearest
from vaeglow.data.arrays import kept_of
from vaeglow.errors import UserError
from vaeglow.reporting.columns import RANGE
from vaeglow.reporting.frame import drawn_at
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd

STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2em auto; padding: 0 1.5em; max-width: 110em; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; min-width: 4em; }
th { border-bottom: 2px solid #1a1a1a; }
tr:hover td { background: #f5f5f5; }
li, p { max-width: 60em; }
code { background: #f0f0f0; padding: 0 .2em; }
"""
# Characters with a meaning in LaTeX, or missing in its usual fonts. All in one pass: no escape is escaped.
ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"≤": r"$\leq$", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$"}
)
NUMBER = re.compile(r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \(([\d.]+ to|±) [\d.]+\))*")  # what is right-aligned


def readable(table: pd.DataFrame, show: Sequence[str]) -> pd.DataFrame:
    """Some of a table's columns in their readable form, rows of one dataset together, "-" for an empty cell.

    Spreads (`{name}_sd`) and ranges (`{name}_low`, `{name}_high`) are shown with their number, bounds are marked.

    Args:
        table: see `vaeglow.reporting.tables.build_table`.
        show: the columns meant, in order.

    Raises:
        UserError: one that cannot be shown.
    """
    columns, datasets = table.attrs["columns"], list(dict.fromkeys(table["dataset"]))
    headers = {name: column.header for name, column in columns.items() if column.header}
    table = table.sort_values("dataset", key=lambda names: names.map(datasets.index), kind="stable", ignore_index=True)
    shown = table.copy()

    def join(name: str, template: str, *others: str) -> None:
        cells = zip(shown[name], *(table[other] for other in others), strict=True)
        shown[name] = [template.format(*texts) if all(texts) else texts[0] for texts in cells]

    for name in show:
        if name not in headers:
            raise UserError(f"show: a table of this kind has no column '{name}'{nearest(name, headers)}")
        beside = columns[name].beside
        if f"{name}_sd" in table and RANGE not in beside:
            join(name, "{} ± {}", f"{name}_sd")
        elif f"{name}_low" in table:
            join(name, "{} ({} to {})", f"{name}_low", f"{name}_high")
        if beside:
            join(name, *beside)
        if name.startswith("bits_per_dim"):
            shown[name] = shown[name].mask((table["bound"] == "<=") & (shown[name] != ""), "≤ " + shown[name])
        if name == "temperature":  # not in the label as well
            endings = [f", {drawn_at(value)}" if value else "" for value in table["temperature"]]
            shown["model"] = [label.removesuffix(end) for label, end in zip(table["model"], endings, strict=True)]
    return shown[list(show)].replace("", "-").rename(columns=headers)


def to_html(text: str) -> str:
    """A self-contained page, for the report and for browsers.

    Args:
        text: Markdown that begins with `# title`. HTML in it is shown as text, never run.
    """
    import markdown

    title = text.splitlines()[0].removeprefix("# ")
    body = markdown.markdown(html.escape(text, quote=False), extensions=["tables", "sane_lists"])
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return text.translate(ESCAPES)


def to_latex(shown: pd.DataFrame, notes: Sequence[str], spec: Mapping[str, Any]) -> str:
    r"""The table as a float that needs `\usepackage{booktabs}`, its notes in comments above, its scale in the caption.

    Args:
        shown: the columns that a reader sees.
        notes: of the table.
        spec: see `vaeglow.config.plan.spec`.
    """
    numeric = [all(NUMBER.fullmatch(text) for text in shown[column]) for column in shown]
    title = re.sub(r"^Table \d+: ", "", spec["title"])  # LaTeX numbers tables itself
    scale = " (demo scale)" if spec["preset"] == "demo" else ""
    cited = " Published rows are cited, not measured." if spec["published"] else ""
    style = shown.map(escape).rename(columns=escape).style.hide(axis="index")
    text = style.to_latex(
        hrules=True,
        position="t",
        position_float="centering",
        column_format="".join("r" if right else "l" for right in numeric),
        caption=escape(f"{title[:1].upper()}{title[1:]}. Preset {spec['preset']}{scale}.{cited}"),
        label=f"tab:{spec['name']}",
    )
    comments = [r"Needs \usepackage{booktabs}.", *(note.replace("**", "") for note in notes)]
    return "".join(f"% {comment}\n" for comment in comments) + text


# Notes of several kinds of table; `{NAME}` in a kind's notes inserts them.
NOTES = {
    "DEMO": """
- [demo] **Demo scale**: small networks, a few epochs and few images, to show that everything runs. Compare measured
  rows with each other, not with published ones. The embedded photographs are overlapping crops of ten pictures: errors
  and intervals over such images are too small.
""",
    "CITED": "(origin of each in the CSV and in resources/published.csv).{elsewhere}",
    "FID": """
- FID: {samples} against {spec[images]} images of the {spec[split]} split, {spec[features]} Inception features (protocol
  {spec[protocol]}). It depends on these counts and features: compare it only with an FID that shares them.
- [stretch] Each sample's values were first stretched to the whole range, and those of real images not, as Dai & Wipf
  do: that changes every number about samples.
- [early] {spec[features]} features are an early Inception layer, chosen for speed; the usual FID takes 2048 and is on
  another scale.
- [fewer] All else about samples is of {kept} of them and as many of these images.
- [biased] Fewer images than features: the covariance is singular and the FID strongly biased.
""",
    "BITS": """
- [bits_per_dim] bits/dim: {likelihood_images} test images, {dequantisation} dequantisation noise; ≤ is an upper bound
  (one sample of the noise and the latent), a number without it is the log-density of the noisy image, itself an upper
  bound on the discrete image's bits. It belongs to the model and does not depend on the sampling temperature T.
""",
    "SEEDS": """
- [several] ± is the standard deviation over seeds {seeds}.
- [single] One seed ({seeds}): how much another training would differ is not known from this table.
""",
    "MADE": """
- Made by `snakemake --cores 1 results/{spec[preset]}/tables/{spec[name]}.csv`, with the --configfile it was run with,
  if any (preset {spec[preset]}, all columns in {spec[name]}.csv).
""",
}


def notes_of(
    notes: str, table: pd.DataFrame, spec: Mapping[str, Any], show: Collection[str], words: Mapping[str, Any]
) -> list[str]:
    """A table's notes, and at the end how it is made.

    Args:
        notes: see `fill`; the words are those of `words`, the ones below, and the values of columns in measured rows.
        table: all rows.
        spec: see `vaeglow.config.plan.spec`.
        show: the columns that a reader sees.
        words: of the table's kind.
    """
    published, measured = (table[table["source"] == source] for source in ("published", "measured"))
    count, features, sets, seeds = (spec[key] for key in ("images", "features", "sets", "seeds"))
    away = ", ".join(sorted(set(published["dataset"]) - set(measured["dataset"])))
    here = distinct(measured["dataset"], ", ")
    burst = [row for row in measured.to_dict("records") if row.get("exploded_samples", "0") != "0"]
    end = "of the samples drawn overflowed; they were clipped and kept."
    known = {
        **{"demo": spec["preset"] == "demo", "stretch": spec["stretch"], "sets": sets > 1, "spec": spec},
        **{"early": features != 2048, "biased": count <= features, "fewer": kept_of(count) < count},
        **{"several": len(seeds) > 1, "single": len(seeds) == 1, "seeds": " ".join(map(str, seeds))},
        "samples": f"mean over {sets} sets of {count} samples, each set" if sets > 1 else f"{count} samples",
        "kept": kept_of(count),
        "published": len(published),
        "elsewhere": f" Those on {away} are on other data than any measured row ({here})." if away else "",
        "overflowed": "\n- ".join(f"{row['model']}: {row['exploded_samples']} {end}" for row in burst),
    }
    values = {name: distinct(measured[name], "; " if name in ("device", "commit") else " or ") for name in measured}
    return fill(notes + "{MADE}", dict.fromkeys(show, True) | known | words, values)


def fill(notes: str, words: Mapping[str, Any], values: Mapping[str, str] | None = None) -> list[str]:
    """Notes as texts.

    Args:
        notes: a Markdown list. `{NAME}` stands for notes of `NOTES`, `{name}` for a value or a word. A note that begins
            with `[name name ...]` is left out unless one of these words is true.
        words: by name; a word may make several notes, with a line that begins with "- " between them.
        values: by name; they go before words.
    """
    notes = re.sub(r"{([A-Z]+)}", lambda match: NOTES[match[1]], notes)
    found = []
    for note in re.split(r"^- ", notes, flags=re.MULTILINE)[1:]:
        needed, text = re.fullmatch(r"(?:\[([\w ]+)\] )?(.*)", " ".join(note.split())).groups()
        if needed is None or any(words.get(name) for name in needed.split()):
            found += text.format_map({**words, **(values or {})}).split("\n- ")
    return found
