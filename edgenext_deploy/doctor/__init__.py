"""``edgenext-doctor``: what a machine needs to run an exported network, looked at one by one.

`machine` is the only module that touches the system, `probe` runs in child processes, `findings` collects
everything once, the ``*_checks`` modules judge it, and `diagnosis` puts the judgements together.
"""
