"""A Markdown page as HTML that needs nothing beside it: what the report shows, and what a browser opens. No torch."""

from __future__ import annotations

import html

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


def to_html(text: str) -> str:
    """A whole page.

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
