"""How much memory ONNX Runtime may take for tensors: a node of a few bytes can ask for terabytes.

A size may depend on the input, so no look at the graph finds every such node. ONNX Runtime's allocator can be limited.
It is then one for all sessions of the process, and keeps what it has for the next one.
"""
import threading
from typing import Any, Optional

# For weights and all that is computed in between, of all open sessions.
MOST_BYTES = 4 << 30
# As ONNX Runtime has them: growth by doubling, size of the first chunk, unused bytes at the end of a chunk.
_DEFAULTS = (-1, -1, -1)
_lock = threading.Lock()
_limited: Optional[bool] = None


def limit_memory(onnxruntime: Any, settings: Any) -> None:
    """Have a session take its memory from the limited allocator.

    An application that has registered an allocator of its own in ONNX Runtime keeps it, and has no limit of ours.

    Args:
        onnxruntime: the module.
        settings: ``SessionOptions`` of the session that will be opened.
    """
    global _limited
    with _lock:
        if _limited is None:
            _limited = _register(onnxruntime)
    if _limited:
        settings.add_session_config_entry("session.use_env_allocators", "1")


def _register(onnxruntime: Any) -> bool:
    info = onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
                                     onnxruntime.OrtMemType.DEFAULT)
    try:
        onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(MOST_BYTES, *_DEFAULTS))
    except Exception:  # onnxruntime's exceptions have no common base below Exception
        return False
    return True
