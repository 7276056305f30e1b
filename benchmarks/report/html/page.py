"""A self-contained page: its frame, its style, tables and notes. Everything from outside is escaped here."""
from typing import Iterable, List, Optional, Sequence, Tuple
from xml.sax.saxutils import escape, quoteattr

from edgenext_deploy import svg

# No network, no script: the page shows what is in it and nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_CSS = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;color-scheme:light dark}
body{margin:0;background:var(--back);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
main,header>div,footer{max-width:1120px;margin:0 auto;padding:0 24px}
header{background:var(--paper);border-bottom:1px solid var(--grid);padding:30px 0 24px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:40px 0 6px}
h3{font-size:1rem;margin:0 0 6px;overflow-wrap:anywhere}
p,ul{margin:6px 0 12px}
li{margin:3px 0}
.lead{color:var(--quiet);margin:0}
.quiet{color:var(--quiet)}
.small{font-size:.86rem}
.tags{display:flex;flex-wrap:wrap;gap:8px;margin:16px 0 0;padding:0;list-style:none}
.tags li{border:1px solid var(--grid);border-radius:999px;padding:2px 12px;font-size:.84rem;margin:0}
.tags .good{border-color:var(--good);color:var(--good)}
.tags .bad{border-color:var(--bad);color:var(--bad)}
.scroll{overflow-x:auto;background:var(--paper);border:1px solid var(--grid);border-radius:10px;margin:10px 0 14px}
.scroll:focus-visible{outline:2px solid var(--series-0);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{caption-side:top;text-align:left;padding:12px 14px 4px;color:var(--quiet);font-size:.86rem}
caption>span{position:sticky;left:14px;display:inline-block;max-width:min(1040px,calc(100vw - 58px))}
th,td{padding:8px 12px;text-align:right;vertical-align:top;white-space:nowrap}
th{font-weight:600;font-size:.82rem;color:var(--quiet);border-bottom:1px solid var(--grid);vertical-align:bottom}
tbody th{color:var(--ink);font-size:.9rem;border-bottom:0;vertical-align:top;min-width:9.5rem}
tbody th,thead th:first-child{position:sticky;left:0;background:var(--paper)}
tbody tr+tr>*{border-top:1px solid var(--grid)}
th.words,td.words,tbody th{text-align:left;white-space:normal;overflow-wrap:break-word;min-width:7.5rem}
tr.flagged td,tr.flagged th{color:var(--quiet)}
tr.total>*{font-weight:600}
thead th.short{white-space:normal;min-width:3.6rem}
.published,tbody th.published,thead th.published:first-child{background:var(--shade)}
.meter{display:inline-block;width:120px;height:.7em;border-radius:3px;background:var(--grid);overflow:hidden}
.meter>i{display:block;height:100%;background:var(--series-0)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:16px;margin:12px 0}
.card{background:var(--paper);border:1px solid var(--grid);border-radius:10px;padding:14px 16px;min-width:0}
.card svg{display:block;width:100%;height:auto}
@media (min-width:920px){.beside{grid-auto-flow:dense}.beside>:last-child{grid-column:2;grid-row:1/span 2}}
.wide{overflow-x:auto}
.wide svg{min-width:520px;max-width:820px;margin:0 auto}
.legend{list-style:none;padding:0;display:grid;gap:2px;font-size:.86rem}
.legend svg{display:inline-block;width:14px;height:14px;vertical-align:-2px;margin-right:8px}
.notes{list-style:none;padding:0}
.notes li{padding:8px 14px;border-left:4px solid var(--warn);background:var(--paper);border-radius:0 8px 8px 0;
margin:8px 0}
.estimate{border-left:4px solid var(--warn);padding:10px 16px;background:var(--paper);border-radius:0 8px 8px 0}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:4px 18px;margin:8px 0;font-size:.9rem}
dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}
details>summary{cursor:pointer;color:var(--quiet);font-size:.9rem;padding:4px 0}
footer{color:var(--quiet);font-size:.84rem;padding-top:28px;padding-bottom:44px}
@media (max-width:560px){main,header>div,footer{padding-left:14px;padding-right:14px}h1{font-size:1.4rem}
th,td{padding:7px 10px}tbody th,th.words,td.words{min-width:7.5rem}td.words{min-width:11rem}
dl{grid-template-columns:1fr;gap:0 0}dd{margin-bottom:6px}}
@media print{body{background:#fff}header{padding-top:0}.scroll,.card,.notes li{border-color:#ccc;break-inside:avoid}
.scroll{overflow:visible}tbody th,thead th:first-child,caption>span{position:static}
h2{break-after:avoid}.cards{grid-template-columns:1fr 1fr}
th,td{padding:4px 7px;white-space:normal}
table{font-size:.76rem}details>:not(summary){display:block}a{color:inherit}}
"""
_LIGHT = "--back:#f5f6f8;--shade:#f1f4f8;--good:#00724f;--bad:#b3410a;--warn:#d55e00;"
_DARK = "--back:#0e1217;--shade:#1c232d;--good:#4fd0a8;--bad:#f0a06a;--warn:#f0a06a;"


def page(title: str, lead: str, tags: Iterable[Tuple[str, str]], sections: Iterable[str], foot: str) -> bytes:
    """Return a page as UTF-8.

    Args:
        title: heading, unescaped.
        lead: a sentence below it, unescaped.
        tags: pairs of text, unescaped, and ``good``, ``bad`` or nothing.
        sections: HTML.
        foot: last line, unescaped.
    """
    # A printed page is on white paper, whatever the screen's face is.
    css = "{}:root{{{}{}}}@media screen and (prefers-color-scheme:dark){{:root{{{}{}}}}}{}".format(
        svg.rules(), svg.style(dark=False), _LIGHT, svg.style(dark=True), _DARK, _CSS)
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
        headings: of the columns; the first column names the rows.
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
    """Return cards beside each other where there is room; `last_beside`: of three the last is as tall as the others."""
    return '<div class="cards{}">{}</div>'.format(" beside" if last_beside else "", "".join(made)) if made else ""


def facts(pairs: Iterable[Tuple[str, str]]) -> str:
    """Return pairs of name and value, unescaped."""
    return "<dl>{}</dl>".format("".join("<dt>{}</dt><dd>{}</dd>".format(escape(name), escape(value))
                                        for name, value in pairs))


def folded(summary: str, *parts: str) -> str:
    """Return content that opens on a click."""
    return "<details><summary>{}</summary>{}</details>".format(escape(summary), "".join(parts))
