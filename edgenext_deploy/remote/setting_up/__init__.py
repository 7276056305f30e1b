"""What a board gets so that the toolkit runs there."""
