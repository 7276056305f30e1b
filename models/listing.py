"""The tables of ``edgenext-models``. It loads under Python 3.6 too, where the command says what is missing."""
import io
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

Row = Dict[str, Any]  # see `summary.describe`

_NO_VALUE = "–"
_NARROWEST = 70  # what the names of all variants and weights files take


class Column(NamedTuple):
    """A column: its heading, ``left`` or ``right``, and the text that it shows for a row."""

    heading: str
    justify: str
    text: Callable[[Row], str]


class Table(NamedTuple):
    """The table of one group of variants: its title, its columns, and a sentence below it."""

    title: str
    columns: Sequence[Column]
    footnote: str


def print_tables(rows: Sequence[Row]) -> None:
    """Print one table for each group that has rows; where a terminal is too narrow, its last column stands below it."""
    from edgenext_deploy.commands.screen import make_console

    console = make_console(highlight=False)
    for group, (title, columns, footnote) in TABLES.items():
        members = [row for row in rows if row["group"] == group]
        if not members:
            continue
        console.print("[bold]" + title + "[/]")
        lines = _lines(columns, members)
        if max(map(len, lines)) > console.width:
            lines = [*_lines(columns[:-1], members), "",
                     *_lines([columns[0], columns[-1]], members, max(console.width, _NARROWEST))]
        console.print(*lines, sep="\n", soft_wrap=True, markup=False)
        console.print(footnote + "\n")
    console.print("MAdds are counted by fvcore's rule. Sources, notes and addresses: --json.")


def _lines(columns: Sequence[Column], rows: Sequence[Row], width: int = 4096) -> List[str]:
    """Return a table as lines of text; only sentences in its last column are broken, where it is wider than `width`."""
    from rich import box, console, table

    grid = table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        grid.add_column(column.heading, justify=column.justify, no_wrap=column is not _NOTE)  # type: ignore[arg-type]
    for row in rows:
        grid.add_row(*(column.text(row) for column in columns))
    drawn = console.Console(file=io.StringIO(), width=width)
    drawn.print(grid)
    return [line.rstrip() for line in drawn.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def _of_paper(row: Row, quantity: str, style: str) -> str:
    values = [
        figure["value"] for figure in row["published"].get(quantity, ())
        if figure["image_size"] in (None, row["image_size"]) and figure["source"].startswith("EdgeNeXt paper")]
    return format(values[0], style) if values else _NO_VALUE


def _score(row: Row) -> str:
    detector = row["task"] == "detection"
    value = _of_paper(row, "coco_map" if detector else "voc_miou", ".1f")
    return value if value == _NO_VALUE else ("mAP " if detector else "mIoU ") + value


_NAME = Column("variant", "left", lambda row: str(row["name"]))
_NOTE = Column("what it is", "left", lambda row: str(row["note"]))
_PARAMETERS = Column("parameters", "right", lambda row: format(row["parameters"], ","))
_SIZE = Column("size", "right", lambda row: str(row["image_size"]))
_MADDS = Column("MAdds\nM", "right", lambda row: format(row["madds"] / 1e6, ".1f"))
_AT_224 = Column("MAdds\n224, M", "right", lambda row: format(row["madds_224"] / 1e6, ".1f"))
_AT_256 = Column("MAdds\n256, M", "right", lambda row: format(row["madds_256"] / 1e6, ".1f"))
_CLASSIFIERS = [
    _NAME, _PARAMETERS, _AT_224, _AT_256,
    Column("MAdds\npaper", "right", lambda row: _of_paper(row, "madds", ".0f")),
    Column("Nano\nms", "right", lambda row: _of_paper(row, "nano_latency", ".1f")),
    Column("top-1\n%", "right", lambda row: "\n".join(
        "{:.2f}".format(checkpoint["top1"]) for checkpoint in row["checkpoints"])),
    Column("weights files, the first is the default", "left", lambda row: "\n".join(
        checkpoint["file"] for checkpoint in row["checkpoints"])),
]
_HEADS = [
    _NAME, _PARAMETERS,
    Column("paper\nM", "right", lambda row: _of_paper(row, "parameters", ".1f")),
    _SIZE, _MADDS,
    Column("paper\nM", "right", lambda row: _of_paper(row, "madds", ".0f")),
    Column("paper\n%", "right", _score),
    _NOTE,
]
_ABLATIONS = [
    _NAME, _PARAMETERS, _AT_224, _AT_256,
    Column("top-1\npaper", "right", lambda row: _of_paper(row, "top1", ".1f")),
    Column("A100\nµs", "right", lambda row: _of_paper(row, "a100_latency", ".0f")),
    _NOTE,
]
_OWN = [
    _NAME, _PARAMETERS, _SIZE, _MADDS,
    Column("family", "left", lambda row: str(row["family"])), Column("task", "left", lambda row: str(row["task"])),
    _NOTE,
]
_TOP1 = ("Paper and Nano (FP16, batch 1): at 256, as printed by the authors. "
         "Top-1: on ImageNet-1k, as published with the file.")
TABLES: Dict[str, Table] = {
    "paper": Table("EdgeNeXt", _CLASSIFIERS, _TOP1),
    "baseline": Table("Baselines", _CLASSIFIERS, _TOP1),
    "bundled": Table("Trained, with weights in the package", _OWN,
                     "Exported with these weights unless others are given."),
    "task": Table("Detection and segmentation", _HEADS,
                  "No weights are published for these: train them, or use random weights to measure the latency."),
    "ablation": Table("Ablations of EdgeNeXt-S", _ABLATIONS,
                      "A100: PyTorch, batch 256, microseconds per image, as printed. No weights are published."),
    "own": Table("Your own", _OWN, "Registered with edgenext_deploy.models.register_variant."),
}
GROUPS: List[str] = list(TABLES)
