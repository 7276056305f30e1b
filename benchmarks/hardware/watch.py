"""What a measurement calls between its blocks, so that the machine's sensors can be read."""


class Watch:
    """What looks at the machine while the sessions run; this one does not."""

    def begin(self) -> None:
        """Called before the first timed call."""

    def after_block(self, name: str) -> bool:
        """Called after each block; return whether that took time, so that the next call is not timed."""
        return False
