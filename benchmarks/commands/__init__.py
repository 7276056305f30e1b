"""The command edgenext-bench, one module per subcommand."""
