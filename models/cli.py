"""``edgenext-models``: every variant with its size, cost, accuracy and weights files, in groups."""
from typing import Optional

import click

from edgenext_deploy.commands.entry import common_options, entry_point, require_libraries
from edgenext_deploy.commands.options import Command, examples, json_options, write_result
from edgenext_deploy.models.listing import GROUPS, print_tables


@click.command(cls=Command, epilog=examples(
    "edgenext-models", "edgenext-models --group paper", "edgenext-models --variant s --json"))
@click.option("--variant", "name", metavar="NAME", help="List only this variant.")
@click.option("--group", type=click.Choice(GROUPS), help="List only this group.")
@json_options
@common_options
def models_command(name: Optional[str], group: Optional[str], as_json: bool, json_file: Optional[str]) -> None:
    """List the variants: parameters, multiply-adds, published figures and weights files."""
    require_libraries("listing the variants", ())
    from edgenext_deploy.models.summary import describe
    from edgenext_deploy.models.variants.registry import VARIANTS, get_variant

    chosen = [get_variant(name)] if name is not None else list(VARIANTS.values())
    rows = [describe(variant) for variant in chosen if group in (None, variant.group)]

    def show() -> None:
        if json_file is None:
            print_tables(rows)

    write_result(rows, as_json, json_file, show, ensure_ascii=False)


main = entry_point(models_command)

if __name__ == "__main__":
    main()
