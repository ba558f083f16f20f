"""Texts from the Jinja templates beside the modules, and Markdown as a page. No torch."""

import html
import re
from pathlib import Path
from typing import Any

# Characters with a meaning in LaTeX, or missing in its usual fonts. All in one pass: no escape is escaped.
ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "≤": r"$\leq$",
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
    }
)


def render(name: str, **words: Any) -> str:
    """What the template `{name}.j2` makes of these words; a name that it lacks is an error."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(list(Path(__file__).parent.iterdir())),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["latex"] = lambda text: text.translate(ESCAPES)
    return templates.get_template(f"{name}.j2").render(words)


def page(text: str) -> str:
    """A self-contained HTML page, which the report displays, of Markdown that begins with `# title`.

    HTML in the text is shown as text, never run.
    """
    import markdown

    text = html.escape(text, quote=False)
    body = markdown.markdown(text, extensions=["tables", "sane_lists"])
    body = re.sub("<td(?=[^>]*>[^<]{25})", '<td class="long"', body)  # or a narrow window breaks it after each word
    return render("page.html", title=text.splitlines()[0].removeprefix("# "), body=body)
