/* libcuda.so.1 without a GPU, for tests: the driver API as far as pycuda and edgenext_deploy use it, over host memory.

   - Streams are lazy: work is done when somebody waits for it (stream, event, context, a synchronous copy on the legacy
     default stream), and not before. Blocking streams and the legacy default stream wait for each other.
   - Device addresses are no host addresses. Every access is looked up; outside an allocation it is a sticky error.
     Fresh memory holds 0xCD, each allocation has guards on both sides that are checked after every kernel and copy.
   - Contexts: a stack for each thread, primary ones with a count; a call without a current one is refused.
   - Modules: cubins of nvcc are read (architecture, kernels, layout of the parameters). Their kernels run as C++
     functions from libraries given by EDGENEXT_DOUBLE_KERNELS or double_load_kernels: launch_NAME and types_NAME.
   - Captures and graphs, with what spoils a capture.
   - What the real driver would not punish at once is noted: double_violations().
   Settings come from the environment (EDGENEXT_DOUBLE_...) or from double_configure(). */
#include <cuda.h>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <unistd.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default"))) CUresult CUDAAPI
#define CONTROL extern "C" __attribute__((visibility("default")))

#include "state.h"
#include "errors.h"
#include "control.h"
#include "devices.h"
#include "contexts.h"
#include "memory.h"
#include "streams.h"
#include "graphs.h"
#include "modules.h"
