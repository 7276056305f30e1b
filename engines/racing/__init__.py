"""The race: forms of one network, each tried where it will run, in heats that halve the field."""
