"""``edgenext-models``: every variant with its size, cost, accuracy and weights files."""
import json
from typing import Any, Dict, List, Optional

import click

from edgenext_deploy.command import common_options, entry_point, require_libraries

_WIDTH = 110


@click.command()
@click.option("--variant", "name", metavar="NAME", help="Only this variant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with sources and addresses.")
@common_options
def models_command(name: Optional[str], as_json: bool) -> None:
    """List the variants: parameters and multiply-adds (counted now), published figures, weights files."""
    require_libraries("counting parameters", ("torch", "safetensors"))
    from edgenext_deploy.models.registry import VARIANTS, get_variant
    from edgenext_deploy.models.summary import describe

    chosen = [get_variant(name)] if name is not None else list(VARIANTS.values())
    rows = [describe(variant) for variant in chosen]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


def _print_table(rows: List[Dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("variant", no_wrap=True)
    for title in ("parameters", "MAdds\n224, M", "MAdds\n256, M", "MAdds\npaper", "Nano\nms", "top-1\n%"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("weights files, the first is the default", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"], f"{row['parameters']:,}",
            f"{row['madds_224'] / 1e6:.1f}", f"{row['madds_256'] / 1e6:.1f}",
            _of_paper(row, "madds", ".0f"), _of_paper(row, "nano_latency", ".1f"),
            "\n".join(f"{checkpoint['top1']:.2f}" for checkpoint in row["checkpoints"]),
            "\n".join(checkpoint["file"] for checkpoint in row["checkpoints"]))
    console.print(table)
    console.print(
        "MAdds are counted by fvcore's rule. Paper and Nano (FP16, batch 1): at 256, as its authors print.\n"
        "Top-1: of ImageNet-1k, as published with the file. Sources, notes and addresses: --json.")


def _of_paper(row: Dict[str, Any], quantity: str, style: str) -> str:
    values = [
        figure["value"] for figure in row["published"].get(quantity, ())
        if figure["image_size"] == row["image_size"] and figure["source"].startswith("EdgeNeXt paper")]
    return format(values[0], style) if values else "–"


main = entry_point(models_command)

if __name__ == "__main__":
    main()
