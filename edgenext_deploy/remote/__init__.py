"""A board over SSH: set up, copied to, built on and measured on from a workstation."""
