"""The state of the hardware that a measurement ran on: sensors, what they said, and what they could not say."""
