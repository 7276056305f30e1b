"""Where things lie in the checkout, as strings."""
import os

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
DATA = os.path.join(TESTS, "data")
PHOTOS = os.path.join(ROOT, "edgenext_deploy", "data", "photos")
CAT = os.path.join(PHOTOS, "cat.jpg")
TINY = os.path.join(DATA, "tiny_classifier.onnx")
