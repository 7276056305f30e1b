"""Whether GStreamer has the elements of a pipeline.

OpenCV hangs for ever in a pipeline one element of which does not exist: it starts what is left of it (seen with
OpenCV 4.6 and ``nvarguscamerasrc``, which a container on a Jetson often lacks). So GStreamer is asked first, through
its C library.
"""
import ctypes
import re
from typing import Any, Dict, List, Optional

_LIBRARY = "libgstreamer-1.0.so.0"
_NAME = re.compile(r"\s*([a-z][a-z0-9_]*)(?=\s|$)")


def elements_of(pipeline: str) -> List[str]:
    """Return the names of a pipeline's elements; formats between them (``video/x-raw,…``) are left out."""
    unquoted = re.sub(r'"[^"]*"', "", pipeline)
    found = (_NAME.match(part) for part in unquoted.split(" ! "))
    return [match.group(1) for match in found if match is not None]


def missing_elements(pipeline: str) -> List[str]:
    """Return the elements of a pipeline that GStreamer lacks or cannot load; none if it cannot be asked."""
    library = _load()
    return [] if library is None else [name for name in elements_of(pipeline) if not _has(library, name)]


def has_property(element: str, name: str) -> bool:
    """Return whether an element exists and has a property; what came with a later release is asked for so."""
    library = _load()
    if library is None:
        return False
    made = library.gst_element_factory_make(element.encode(), None)
    if not made:
        return False
    try:
        # The class is the first field of each instance: GTypeInstance of GLib's gtype.h.
        kind = ctypes.cast(made, ctypes.POINTER(ctypes.c_void_p)).contents
        return bool(library.g_object_class_find_property(kind, name.encode()))
    finally:
        library.gst_object_unref(made)


def _has(library: Any, name: str) -> bool:
    factory = library.gst_element_factory_find(name.encode())
    if not factory:
        return False
    # The list of elements is kept on the disk. A plugin whose libraries are gone is still in it.
    loaded = library.gst_plugin_feature_load(factory)
    library.gst_object_unref(factory)
    if loaded:
        library.gst_object_unref(loaded)
    return bool(loaded)


_loaded: Dict[str, Any] = {}


def _load() -> Optional[Any]:
    if _LIBRARY not in _loaded:
        _loaded[_LIBRARY] = _start()
    return _loaded[_LIBRARY]


def _start() -> Optional[Any]:
    try:
        library = ctypes.CDLL(_LIBRARY)
        find_property = ctypes.CDLL("libgobject-2.0.so.0").g_object_class_find_property
    except OSError:
        return None
    for name in ("gst_element_factory_find", "gst_plugin_feature_load", "gst_element_factory_make"):
        getattr(library, name).restype = ctypes.c_void_p
    library.gst_element_factory_find.argtypes = [ctypes.c_char_p]
    library.gst_element_factory_make.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.gst_plugin_feature_load.argtypes = library.gst_object_unref.argtypes = [ctypes.c_void_p]
    library.gst_object_unref.restype = None
    find_property.restype, find_property.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    setattr(library, "g_object_class_find_property", find_property)  # noqa: B010 - mypy knows no such attribute
    return library if library.gst_init_check(None, None, None) else None
