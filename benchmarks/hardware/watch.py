"""What a measurement calls between its blocks, so that somebody can look at the machine."""


class Watch:
    """What looks at the machine while the sessions run; this one does not."""

    def begin(self) -> None:
        """Called before the first timed call."""

    def after_block(self, name: str) -> bool:
        """Called after each block; return whether that took time, so that the next call is not timed."""
        return False
