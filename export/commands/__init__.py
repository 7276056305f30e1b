"""The command edgenext-export and its subcommands: what they parse, and what they print."""
