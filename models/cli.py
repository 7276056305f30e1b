"""``edgenext-models``: every variant with its size, cost, accuracy and weights files, in groups."""
import json
from typing import Any, Callable, Dict, List, Optional, Tuple

import click

from edgenext_deploy.commands.entry import common_options, entry_point, require_libraries
from edgenext_deploy.commands.options import Command, examples, json_options
from edgenext_deploy.files import write_files_atomically

_WIDTH = 110

Row = Dict[str, Any]
# Title, justification, and what a row says there.
Column = Tuple[str, str, Callable[[Row], str]]


@click.command(cls=Command, epilog=examples(
    "edgenext-models", "edgenext-models --group paper", "edgenext-models --variant s --json"))
@click.option("--variant", "name", metavar="NAME", help="Only this variant.")
@click.option("--group", type=click.Choice(["paper", "baseline", "task", "ablation"]), help="Only this group.")
@json_options
@common_options
def models_command(name: Optional[str], group: Optional[str], as_json: bool, json_file: Optional[str]) -> None:
    """List the variants: counted parameters and multiply-adds, published figures, weights files."""
    require_libraries("listing the variants", ())
    from edgenext_deploy.models.registry import VARIANTS, get_variant
    from edgenext_deploy.models.summary import describe

    chosen = [get_variant(name)] if name is not None else list(VARIANTS.values())
    rows = [describe(variant) for variant in chosen if group in (None, variant.group)]
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    if json_file is not None:
        write_files_atomically({json_file: (text + "\n").encode("utf-8")})
    if as_json:
        click.echo(text)
    elif json_file is None:
        _print_tables(rows)


def _print_tables(rows: List[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    for group, (title, columns, footnote) in _TABLES.items():
        members = [row for row in rows if row["group"] == group]
        if not members:
            continue
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for heading, justify, _ in columns:
            table.add_column(heading, justify=justify, no_wrap=heading != "what it is")  # type: ignore[arg-type]
        for row in members:
            table.add_row(*(say(row) for _, _, say in columns))
        console.print("[bold]" + title + "[/]")
        console.print(table)
        console.print(footnote + "\n")
    console.print("MAdds are counted by fvcore's rule. Sources, notes and addresses: --json.")


def _of_paper(row: Row, quantity: str, style: str, only: str = "EdgeNeXt paper") -> str:
    values = [
        figure["value"] for figure in row["published"].get(quantity, ())
        if figure["image_size"] in (None, row["image_size"]) and figure["source"].startswith(only)]
    return format(values[0], style) if values else "–"


def _score(row: Row) -> str:
    detector = row["task"] == "detection"
    value = _of_paper(row, "coco_map" if detector else "voc_miou", ".1f")
    return value if value == "–" else ("mAP " if detector else "mIoU ") + value


_NAME: Column = ("variant", "left", lambda row: str(row["name"]))
_PARAMETERS: Column = ("parameters", "right", lambda row: format(row["parameters"], ","))
_AT_224: Column = ("MAdds\n224, M", "right", lambda row: format(row["madds_224"] / 1e6, ".1f"))
_AT_256: Column = ("MAdds\n256, M", "right", lambda row: format(row["madds_256"] / 1e6, ".1f"))
_CLASSIFIERS: List[Column] = [
    _NAME, _PARAMETERS, _AT_224, _AT_256,
    ("MAdds\npaper", "right", lambda row: _of_paper(row, "madds", ".0f")),
    ("Nano\nms", "right", lambda row: _of_paper(row, "nano_latency", ".1f")),
    ("top-1\n%", "right", lambda row: "\n".join(
        "{:.2f}".format(checkpoint["top1"]) for checkpoint in row["checkpoints"])),
    ("weights files, the first is the default", "left", lambda row: "\n".join(
        checkpoint["file"] for checkpoint in row["checkpoints"])),
]
_HEADS: List[Column] = [
    _NAME, _PARAMETERS,
    ("paper\nM", "right", lambda row: _of_paper(row, "parameters", ".1f")),
    ("size", "right", lambda row: str(row["image_size"])),
    ("MAdds\nM", "right", lambda row: format(row["madds"] / 1e6, ".1f")),
    ("paper\nM", "right", lambda row: _of_paper(row, "madds", ".0f")),
    ("paper\n%", "right", _score),
    ("what it is", "left", lambda row: str(row["note"])),
]
_ABLATIONS: List[Column] = [
    _NAME, _PARAMETERS, _AT_224, _AT_256,
    ("top-1\npaper", "right", lambda row: _of_paper(row, "top1", ".1f")),
    ("A100\nµs", "right", lambda row: _of_paper(row, "a100_latency", ".0f")),
    ("what it is", "left", lambda row: str(row["note"])),
]
_TOP1 = ("Paper and Nano (FP16, batch 1): at 256, as its authors print. "
         "Top-1: of ImageNet-1k, as published with the file.")
_TABLES: Dict[str, Tuple[str, List[Column], str]] = {
    "paper": ("EdgeNeXt", _CLASSIFIERS, _TOP1),
    "baseline": ("Baselines", _CLASSIFIERS, _TOP1),
    "task": ("Detection and segmentation", _HEADS,
             "Nobody has published weights of these: train them, or take the random ones for timing."),
    "ablation": ("Ablations of EdgeNeXt-S", _ABLATIONS,
                 "A100: PyTorch, batch 256, microseconds for each image, as printed. No weights are published."),
}

main = entry_point(models_command)

if __name__ == "__main__":
    main()
