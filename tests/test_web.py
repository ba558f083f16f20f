"""Markdown as a page that stands alone."""

from __future__ import annotations

from html.parser import HTMLParser

from vaeglow.reporting.web import to_html

TEXT = """# Table 2: a & b

| Model | bits/dim |
|:--|:--|
| <script>alert(1)</script> | ≤ 3.17 |
| Glow, T=1.0 | **3.35** |

- **Demo scale**: `snakemake` <= 3
- p(x\\|z)
"""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]


def test_a_page_has_the_table_and_its_notes_and_fetches_nothing():
    page = to_html(TEXT)
    tags = Tags()
    tags.feed(page)
    assert [tags.tags.count(tag) for tag in ("table", "tr", "td", "li", "strong", "code")] == [1, 3, 4, 2, 2, 1]
    assert not tags.links and "<title>Table 2: a &amp; b</title>" in page and "≤ 3.17" in page


def test_what_looks_like_html_is_text():
    page = to_html(TEXT)
    assert "<script" not in page and "&lt;script&gt;" in page and "&amp;lt;" not in page
