"""A hook of mkdocs: the site's pages that do not lie in docs/, and the links that lead there.

README.md is the first page. Other Markdown files of the project are pages below ``project/``, files that a page links
are copied to ``files/``, and the reference of the public names is made from their docstrings (docs/api_pages.py).
"""
import os
import re
import sys
from pathlib import Path
from typing import Dict

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))
import api_pages  # noqa: E402

PAGES = {ROOT / "README.md": "index.md", ROOT / "edgenext_deploy" / "data" / "SOURCES.md": "project/SOURCES.md"}
PAGES.update((ROOT / name, "project/" + name) for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))
# A link of Markdown: its text with the bracket, its target, its anchor.
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that do not lie in docs/."""
    made: Dict[str, str] = {address: path.read_text(encoding="utf-8") for path, address in PAGES.items()}
    made.update(("python/{}.md".format(package), text) for package, text in api_pages.pages().items())
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    for path in sorted(linked_files()):
        files.append(File.generated(config, "files/" + path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that are written for the checkout into the site's."""
    address = page.file.src_uri
    source = next((path for path, to in PAGES.items() if to == address), DOCS / address)

    def turned(link: "re.Match[str]") -> str:
        if "://" in link.group(2):
            return link.group()
        to = address_of((source.parent / link.group(2)).resolve())
        return link.group(1) + os.path.relpath(to, os.path.dirname(address) or ".") + link.group(3)

    return _LINK.sub(turned, markdown)


def address_of(path: Path) -> str:
    """Return where a file of the checkout lies on the site."""
    if path in PAGES:
        return PAGES[path]
    if DOCS in path.parents and path.suffix != ".py":
        return path.relative_to(DOCS).as_posix()
    return "files/" + os.path.relpath(str(path), str(ROOT))


def linked_files() -> "set[Path]":
    """Return the files outside docs/, and the scripts in it, that a page links."""
    found = set()
    for page in (*PAGES, *DOCS.glob("*.md")):
        for link in _LINK.finditer(page.read_text(encoding="utf-8")):
            path = (page.parent / link.group(2)).resolve()
            if "://" not in link.group(2) and path.is_file() and address_of(path).startswith("files/"):
                found.add(path)
    return found
