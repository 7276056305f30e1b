"""pycuda_members.py FOLDER: names of the real ``pycuda.driver`` and of its classes' members, as JSON."""
import inspect
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def main(folder):
    from real.nvidia import driver_library

    driver_library.load()
    sys.path.insert(0, folder)
    import pycuda.driver as driver

    found = {"": dir(driver)}
    found.update((name, dir(value)) for name, value in vars(driver).items() if inspect.isclass(value))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
