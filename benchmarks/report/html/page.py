"""A self-contained page: its frame, its style, tables and notes. Everything from outside is escaped here."""
import os
from typing import Iterable, List, Optional, Sequence, Tuple

from edgenext_deploy import svg
from edgenext_deploy.foreign_text import attribute as quoteattr
from edgenext_deploy.foreign_text import markup as escape

# No network, no script: the page shows what is in it and nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, lead: str, tags: Iterable[Tuple[str, str]], sections: Iterable[str], foot: str) -> bytes:
    """Return a page as UTF-8.

    Args:
        title: heading, unescaped.
        lead: a sentence below it, unescaped.
        tags: pairs of text, unescaped, and ``good``, ``bad`` or nothing.
        sections: HTML.
        foot: last line, unescaped.
    """
    css = "{}:root{{{}}}@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}{}".format(
        svg.rules(), svg.style(dark=False), svg.style(dark=True), _css())
    listed = "".join('<li class="{}">{}</li>'.format(kind, escape(words)) for words, kind in tags)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content={policy}>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<title>{title}</title><style>{css}</style></head><body>"
        '<header><div><h1>{title}</h1><p class="lead">{lead}</p>{tags}</div></header>\n'
        "<main>{sections}</main>\n<footer>{foot}</footer></body></html>\n"
    ).format(policy=quoteattr(_POLICY), title=escape(title), css=css, lead=escape(lead),
             tags='<ul class="tags">{}</ul>'.format(listed) if listed else "",
             sections="\n".join(filter(None, sections)), foot=escape(foot)).encode("utf-8")


def _css() -> str:
    with open(os.path.join(os.path.dirname(__file__), "page.css"), encoding="utf-8") as stream:
        return stream.read()


def section(heading: str, *parts: str) -> str:
    """Return a section with an unescaped heading; nothing when it has no content."""
    content = "".join(parts)
    return "<section><h2>{}</h2>{}</section>".format(escape(heading), content) if content else ""


def paragraph(words: str, classes: str = "") -> str:
    """Return an escaped paragraph."""
    return '<p class="{}">{}</p>'.format(classes, escape(words))


def bullets(lines: Sequence[str], classes: str = "") -> str:
    """Return escaped lines as a list; nothing when there is none."""
    if not lines:
        return ""
    return '<ul class="{}">{}</ul>'.format(classes, "".join("<li>{}</li>".format(escape(line)) for line in lines))


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (),
          published: Sequence[int] = (), row_classes: Optional[Sequence[str]] = None) -> str:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        caption: unescaped, as everything.
        headings: one for each column; the first column names the rows.
        rows: their cells.
        words: numbers of the columns, besides the first, that hold words.
        published: numbers of the columns that are shaded as not measured here.
        row_classes: a CSS class for each row.
    """
    def classes(index: int) -> str:
        names = (["words"] if index in words or index == 0 else []) + (["published"] if index in published else [])
        return " ".join(names)

    head = "".join('<th scope="col" class="{} short">{}</th>'.format(classes(index), escape(heading))
                   for index, heading in enumerate(headings))
    body: List[str] = []
    for number, cells in enumerate(rows):
        made = "".join('<td class="{}">{}</td>'.format(classes(index), escape(cell))
                       for index, cell in enumerate(cells) if index)
        body.append('<tr class="{}"><th scope="row" class="{}">{}</th>{}</tr>'.format(
            row_classes[number] if row_classes else "", classes(0), escape(cells[0]), made))
    return ('<div class="scroll" role="region" tabindex="0" aria-label={}><table><caption><span>{}</span></caption>'
            "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>").format(
                quoteattr(caption), escape(caption), head, "".join(body))


def legend(entries: Iterable[Tuple[str, str]]) -> str:
    """Return a legend of pairs of a drawn key and unescaped words."""
    return '<ul class="legend">{}</ul>'.format("".join(
        "<li>{}{}</li>".format(key, escape(words)) for key, words in entries))


def card(heading: str, *parts: str) -> str:
    """Return a card with an unescaped heading."""
    return '<div class="card">{}{}</div>'.format(
        "<h3>{}</h3>".format(escape(heading)) if heading else "", "".join(parts))


def cards(made: Sequence[str], last_beside: bool = False) -> str:
    """Return cards side by side if there is room; `last_beside`: the last of three is as tall as both others."""
    return '<div class="cards{}">{}</div>'.format(" beside" if last_beside else "", "".join(made)) if made else ""


def facts(pairs: Iterable[Tuple[str, str]]) -> str:
    """Return pairs of name and value, unescaped."""
    return "<dl>{}</dl>".format("".join("<dt>{}</dt><dd>{}</dd>".format(escape(name), escape(value))
                                        for name, value in pairs))


def folded(summary: str, *parts: str) -> str:
    """Return content that opens on a click."""
    return "<details><summary>{}</summary>{}</details>".format(escape(summary), "".join(parts))
