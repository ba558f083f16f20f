"""Build the site of the pages in site/, without the network: `make docs`. A link that leads nowhere is an error.

The pages stay where a repository's reader finds them. Those that `nav` in zensical.toml names are copied to build/pages
under the same paths, with every file they show or link to, so that links hold. config/README.md becomes several pages.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = Path("build/pages")
KEYS = Path("config/README.md")
LINK = re.compile(r"""(?P<text>\[[^]\[]*\])\((?P<target>[^)\s]+)\)|(?:src|href)="(?P<source>[^"]+)\"""")
REMOTE = re.compile(r"[a-z]+:|#")
LEFT_OUT = re.compile(r"^.*img\.shields\.io.*\n|^<!-- .* -->$", re.MULTILINE)  # needs the network; spoils a table


def pages_of(nav: Any) -> Iterator[Path]:
    """The pages that `nav` names, in order."""
    if isinstance(nav, str):
        yield Path(nav)
    for inner in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(inner)


def split_keys(text: str, pages: set[Path]) -> dict[Path, str]:
    """config/README.md by page: that of section `training` begins a page where `nav` has config/training.md.

    Args:
        text: the whole.
        pages: the pages of `nav`.
    """
    sections_of: dict[Path, list[str]] = {KEYS: []}
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        name = re.match(r"## `(\w+)`", section)
        page = KEYS.with_name(f"{name[1]}.md") if name else KEYS
        if page in pages and page != KEYS:
            sections_of[page] = []
        list(sections_of.values())[-1].append(section)
    for sections in list(sections_of.values())[1:]:
        names = re.findall(r"^## (`\w+`)", "".join(sections), flags=re.MULTILINE)
        sections.insert(0, f"# Config: {', '.join(names)}\n\nHow the config is read: [Every key](README.md).\n\n")
    return {page: "".join(sections) for page, sections in sections_of.items()}


def copied(text: str, page: Path, pages: set[Path], to: Path) -> str:
    """A page's text for the site; files it shows or links to are copied.

    A link to a folder, or to a document that is no page, is its text alone.

    Args:
        text: of the page.
        page: its path in the checkout.
        pages: those of the site.
        to: where pages are copied.
    """

    def keep(link: re.Match) -> str:
        target = (link["target"] or link["source"]).partition("#")[0]
        if not target or REMOTE.match(target):
            return link[0]
        path = (ROOT / page.parent / target).resolve()
        place = path.relative_to(ROOT)
        if path.is_dir() or (path.is_file() and path.suffix == ".md" and place not in pages):
            return link["text"][1:-1]
        if path.is_file() and path.suffix != ".md":
            copy = to / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return link[0]

    return LINK.sub(keep, LEFT_OUT.sub("", text))


def write_pages(to: Path) -> None:
    """Copy what `nav` names to a folder, whose old content goes."""
    shutil.rmtree(to, ignore_errors=True)
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = set(pages_of(settings["project"]["nav"]))
    texts = split_keys((ROOT / KEYS).read_text(encoding="utf-8"), pages)
    for page in pages - texts.keys():
        texts[page] = (ROOT / page).read_text(encoding="utf-8")
    for page, text in texts.items():
        (to / page).parent.mkdir(parents=True, exist_ok=True)
        (to / page).write_text(copied(text, page, pages, to), encoding="utf-8")
    for style in settings["project"]["extra_css"]:
        shutil.copyfile(ROOT / style, to / style)


if __name__ == "__main__":
    write_pages(ROOT / PAGES)
    sys.exit(subprocess.call([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT))
