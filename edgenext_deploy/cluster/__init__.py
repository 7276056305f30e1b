"""Work on the nodes of a cluster."""
