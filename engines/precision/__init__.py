"""Which precision an engine is asked for, and the proof of the one that it has."""
