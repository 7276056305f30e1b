"""The machine that this runs on: versions, JetPack release, power mode."""
