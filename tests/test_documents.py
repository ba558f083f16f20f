"""The README and the pages of docs/: their links, their length, and the site that `make docs` builds of them."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from waiting import ROOT, python, said, text_of

from tools import build_site

DOCUMENTS = sorted(path for folder in ("", "config", "docs") for path in (ROOT / folder).glob("*.md"))
NAV = tomllib.loads(text_of("zensical.toml"))["project"]["nav"]
WORDS = 1500  # of two letters and more, outside code, on a page


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What a link may name in a document: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[tuple[Path, str]]:
    """The file and the heading, or "", of each link of a document to a file."""
    text = prose(text_of(document))
    targets = re.findall(r"\]\(\s*<?([^)>\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    local = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((document.parent / name) if name else document, anchor) for name, _, anchor in local]


def dead(document: Path) -> list[tuple[Path, str]]:
    """The links of a document to what is not there."""
    return [
        (path, anchor)
        for path, anchor in links(document)
        if not path.exists() or (anchor and anchor not in anchors(text_of(path)))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_heading_a_document_links_or_shows_exists(document):
    assert dead(document) == []
    assert links(document) or document != ROOT / "README.md"
    for name in re.findall(r"`(tests/[\w/]+\.py)`", text_of(document)):
        assert (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """What the site is built of."""
    folder = tmp_path_factory.mktemp("pages")
    build_site.write_pages(folder)
    return folder


def test_every_document_is_a_page_and_none_twice(pages):
    listed = [*build_site.pages_of(NAV)]
    assert sorted(listed) == sorted(path.relative_to(pages) for path in pages.rglob("*.md"))
    assert {path.relative_to(ROOT) for path in DOCUMENTS} <= {*listed}, "name it in zensical.toml"
    parts = "\n".join(map(text_of, pages.glob("config/*.md")))
    sections, found = (re.findall(r"^## .*", text, re.MULTILINE) for text in (text_of(build_site.KEYS), parts))
    assert sorted(found) == sorted(sections)


def test_links_hold_between_the_pages_of_the_site(pages):
    for page in pages.rglob("*.md"):
        assert dead(page) == [], page


def test_no_page_is_long(pages):
    for path in pages.rglob("*.md"):
        assert len(re.findall(r"[^\W\d_]{2,}[\w'-]*", prose(text_of(path)))) <= WORDS, path


def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path):
    pytest.importorskip("zensical")
    pytest.importorskip("mkdocstrings_handlers.python")
    generated = shutil.ignore_patterns(".*", "__pycache__", "results", "site", "build", "logs", "unpacked")
    project = tmp_path / "a project"
    shutil.copytree(ROOT, project, ignore=generated)
    printed = said(python("tools/build_site.py", cwd=project, env=None))
    assert "No issues found" in printed and "arning" not in printed, printed  # dead links, too
    for page in (project / "site").rglob("*.html"):
        fetched = r"<(?:img|script|link rel=\"?stylesheet)\b[^>]*?\b(?:href|src)=\"?https?:"
        assert not re.search(fetched, text_of(page)), page
