"""GLib's key-file parser, which nvinfer and deepstream-app read their configurations with."""
import ctypes
import ctypes.util


def library():
    """Return GLib, None where it is not installed."""
    name = ctypes.util.find_library("glib-2.0")
    if name is None:
        return None
    glib = ctypes.CDLL(name)
    glib.g_key_file_new.restype = ctypes.c_void_p
    glib.g_key_file_load_from_data.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
                                               ctypes.c_void_p]
    arguments = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    for function, result in (("string", ctypes.c_char_p), ("integer", ctypes.c_int), ("double", ctypes.c_double),
                             ("boolean", ctypes.c_int)):
        get = getattr(glib, "g_key_file_get_" + function)
        get.argtypes, get.restype = arguments, result
    glib.g_key_file_get_keys.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    glib.g_key_file_get_keys.restype = ctypes.POINTER(ctypes.c_char_p)
    glib.g_key_file_get_groups.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    glib.g_key_file_get_groups.restype = ctypes.POINTER(ctypes.c_char_p)
    for function, result in (("integer", ctypes.POINTER(ctypes.c_int)), ("double", ctypes.POINTER(ctypes.c_double))):
        get = getattr(glib, "g_key_file_get_{}_list".format(function))
        get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
        get.restype = result
    return glib


class KeyFile:
    """A key file that GLib has read."""

    def __init__(self, content):
        self._glib = library()
        self._file = self._glib.g_key_file_new()
        assert self._glib.g_key_file_load_from_data(self._file, content, len(content), 0, None)

    def keys(self, group):
        """Return the keys of a group, in order."""
        found, names = self._glib.g_key_file_get_keys(self._file, group.encode(), None, None), []
        while found[len(names)]:
            names.append(found[len(names)].decode())
        return names

    def groups(self):
        """Return the names of the groups, in order."""
        found, names = self._glib.g_key_file_get_groups(self._file, None), []
        while found[len(names)]:
            names.append(found[len(names)].decode())
        return names

    def get(self, kind, group, key):
        """Return a value as ``string``, ``integer``, ``boolean`` or ``double``; raise ValueError where it is none."""
        error = ctypes.c_void_p()
        found = getattr(self._glib, "g_key_file_get_" + kind)(
            self._file, group.encode(), key.encode(), ctypes.byref(error))
        if error.value:
            raise ValueError("[{}] {} is no {}".format(group, key, kind))
        return found

    def numbers(self, kind, group, key):
        """Return a list of ``integer`` or ``double``; empty where it is none."""
        count = ctypes.c_size_t()
        found = getattr(self._glib, "g_key_file_get_{}_list".format(kind))(
            self._file, group.encode(), key.encode(), ctypes.byref(count), None)
        return [found[index] for index in range(count.value)]
