"""Accuracy of engines on folders of labelled images."""
