"""Put this folder on the path, so that tests can import its helper modules."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
