"""Open networks: a frame in, a classifier's, detector's or segmenter's answer out."""
