"""``edgenext-bench``: its commands, put together."""
from edgenext_deploy.benchmarks.commands.compare import compare_command
from edgenext_deploy.benchmarks.commands.estimate import estimate_command
from edgenext_deploy.benchmarks.commands.latency import latency_command
from edgenext_deploy.benchmarks.commands.options import DefaultGroup
from edgenext_deploy.benchmarks.commands.page import page_command
from edgenext_deploy.benchmarks.commands.paper_table import COMMANDS as TABLE_COMMANDS
from edgenext_deploy.benchmarks.commands.photos import photos_command
from edgenext_deploy.benchmarks.commands.profile import profile_command
from edgenext_deploy.benchmarks.commands.repeat import repeat_command
from edgenext_deploy.benchmarks.commands.routes import routes_command
from edgenext_deploy.benchmarks.racing.command import race_command
from edgenext_deploy.commands.entry import common_options, entry_point

bench_command = DefaultGroup("edgenext-bench", latency_command)
common_options(bench_command)
for _command in (compare_command, estimate_command, page_command, photos_command, profile_command, race_command,
                 repeat_command, routes_command, *TABLE_COMMANDS):
    bench_command.add_command(_command)
main = entry_point(bench_command)
if __name__ == "__main__":
    main()
