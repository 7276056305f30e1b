/* What the driver knows: its objects, its tables, and how the work of a stream is put and done. */
namespace {

typedef std::unique_lock<std::recursive_mutex> Lock;
const size_t GUARD = 4096;
const unsigned char GARBAGE = 0xCD, FENCE = 0xA5;
const double KERNEL_MS = 0.25, HOST_MS = 1.0;

struct Stream;
struct Context {
    int device;
    bool primary, alive = true;
    int retained = 0;
    unsigned flags = 0;
    Stream *legacy = nullptr;
};

struct Memory {  // by device address
    unsigned char *host;  // without the guard before it
    size_t size;
    Context *context;
    bool mapped;  // the processor's
};

struct HostMemory {  // by host address
    size_t size;
    Context *context;
    unsigned flags;
    CUdeviceptr device;  // 0 until it is asked for
    bool registered;
};

struct Work {
    std::function<CUresult()> run;
    double ms;
    const char *what;
};

struct Capture {
    std::thread::id thread;
    CUstreamCaptureMode mode;
    bool spoilt = false;
    std::vector<Work> work;
};

struct Stream {
    Context *context;
    unsigned flags;
    std::deque<Work> work;
    unsigned long queued = 0, finished = 0;
    bool running = false, destroyed = false;
    std::unique_ptr<Capture> capture;
};

struct Event {
    Context *context;
    unsigned flags;
    Stream *stream = nullptr;
    unsigned long number = 0;
    bool recorded = false, done = false, captured = false;
    unsigned long generation = 0;
    double time = 0;
};

struct Parameter { size_t offset, size; };
struct Kernel {
    std::string name;
    std::vector<Parameter> parameters;  // of the cubin; empty if unknown
    bool known_layout = false;
    struct Module *module;
};
struct Module {
    Context *context;
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
};
struct Graph { std::vector<Work> work; };
struct Executable { std::vector<Work> work; int under_way = 0; };

std::recursive_mutex mutex;
std::condition_variable_any changed;
thread_local std::vector<Context *> stack;
std::map<std::string, std::string> settings;
std::map<CUdeviceptr, Memory> memories;
std::map<char *, HostMemory> hosts;
std::set<Stream *> streams;
std::set<Event *> events;
std::set<Module *> modules;
std::set<Graph *> graphs;
std::set<Executable *> executables;
std::set<Context *> contexts;
std::map<int, Context *> primaries;
std::vector<std::string> notes;
std::vector<std::string> calls;
std::map<std::string, std::pair<CUresult, int>> failures;
std::vector<void *> kernel_libraries;
CUresult sticky = CUDA_SUCCESS;
bool initialised = false, trace = false;
double clock_ms = 0;
CUdeviceptr next_address = 0x200000;
pid_t owner_pid = 0;

void note(const char *format, ...)
{
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    Lock lock(mutex);
    notes.push_back(text);
    if (trace) fprintf(stderr, "cudadouble: violation: %s\n", text);
}

std::string setting(const char *name, const char *otherwise)
{
    auto found = settings.find(name);
    if (found != settings.end()) return found->second;
    const char *value = getenv((std::string("EDGENEXT_DOUBLE_") + name).c_str());
    return value ? value : otherwise;
}
long number(const char *name, const char *otherwise) { return atol(setting(name, otherwise).c_str()); }
double copy_ms(size_t size) { return size * atof(setting("COPY_MS_PER_BYTE", "1e-6").c_str()); }

CUresult injected(const char *name)
{
    auto found = failures.find(name);
    if (found == failures.end()) return CUDA_SUCCESS;
    CUresult result = found->second.first;
    if (found->second.second > 0 && --found->second.second == 0) failures.erase(found);
    return result;
}

Context *current() { return stack.empty() ? nullptr : stack.back(); }

#define ENTER_ANY(name) \
    Lock lock(mutex); \
    if (trace) fprintf(stderr, "cudadouble: %s\n", name); \
    if (calls.size() > 200000) calls.clear(); \
    calls.push_back(name); \
    if (CUresult failure_ = injected(name)) return failure_; \
    if (!initialised || getpid() != owner_pid) return CUDA_ERROR_NOT_INITIALIZED;  /* nor in a forked child */
#define ENTER(name) \
    ENTER_ANY(name) \
    if (sticky) return sticky; \
    Context *context = current(); \
    if (!context) return CUDA_ERROR_INVALID_CONTEXT; \
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED; \
    (void)context;

/* What a capture does not allow: of this thread, and of any where a capture is global. */
CUresult unsafe(const char *name)
{
    CUresult result = CUDA_SUCCESS;
    for (Stream *stream : streams)
        if (stream->capture && stream->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED
            && (stream->capture->thread == std::this_thread::get_id()
                || stream->capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL)) {
            stream->capture->spoilt = true;
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
            if (trace) fprintf(stderr, "cudadouble: %s spoils a capture\n", name);
        }
    return result;
}
#define SAFE(name) if (CUresult unsafe_ = unsafe(name)) return unsafe_;

unsigned char *translate(CUdeviceptr address, size_t size, const Memory **which = nullptr)
{
    Lock lock(mutex);
    auto found = memories.upper_bound(address);
    if (found == memories.begin()) return nullptr;
    --found;
    if (address + size > found->first + found->second.size || address < found->first) return nullptr;
    if (which) *which = &found->second;
    return found->second.host + (address - found->first);
}

CUresult illegal(const char *what, CUdeviceptr address, size_t size)
{
    if (setting("QUIET", "").empty())
        fprintf(stderr, "cudadouble: illegal access of %s at %llx, %zu bytes\n", what, (unsigned long long)address, size);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

bool page_locked(const void *pointer, size_t size)
{
    Lock lock(mutex);
    auto found = hosts.upper_bound((char *)pointer);
    if (found == hosts.begin()) return false;
    --found;
    return (char *)pointer + size <= found->first + found->second.size;
}

CUresult check_guards(const char *what)
{
    Lock lock(mutex);
    for (auto &entry : memories) {
        if (entry.second.mapped) continue;
        unsigned char *before = entry.second.host - GUARD, *after = entry.second.host + entry.second.size;
        for (size_t i = 0; i < GUARD; ++i)
            if (before[i] != FENCE || after[i] != FENCE)
                return illegal(what, entry.first + (before[i] != FENCE ? i - GUARD : entry.second.size + i), 1);
    }
    return CUDA_SUCCESS;
}

/* Do the work of a stream up to a number. */
CUresult drain(Lock &lock, Stream *stream, unsigned long until)
{
    while (stream->finished < until) {
        if (sticky) return sticky;
        if (stream->running) {
            changed.wait(lock);
            continue;
        }
        Work work = std::move(stream->work.front());
        stream->work.pop_front();
        stream->running = true;
        lock.unlock();  // what runs may call back into Python, and that thread may want this lock
        CUresult result = work.run();
        lock.lock();
        clock_ms += work.ms;
        stream->running = false;
        ++stream->finished;
        if (result && !sticky) {
            sticky = result;
            if (trace) fprintf(stderr, "cudadouble: %s failed with %d\n", work.what, (int)result);
        }
        changed.notify_all();
    }
    return sticky;
}

bool blocking(const Stream *stream) { return !(stream->flags & CU_STREAM_NON_BLOCKING); }

Stream *resolve(CUstream handle, Context *context)
{
    if (handle == nullptr || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        if (!context->legacy) {
            context->legacy = new Stream{context, 0};
        }
        return context->legacy;
    }
    Stream *stream = (Stream *)handle;
    return streams.count(stream) && !stream->destroyed ? stream : nullptr;
}

/* Put work into a stream, or into its capture. */
CUresult put(Context *context, CUstream handle, Work work, unsigned long *position = nullptr)
{
    Stream *stream = resolve(handle, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->context != context) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) {
        if (stream->capture->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        stream->capture->work.push_back(std::move(work));
        return CUDA_SUCCESS;
    }
    if (stream == context->legacy) {
        std::vector<std::pair<Stream *, unsigned long>> before;
        for (Stream *other : streams)
            if (other->context == context && blocking(other) && !other->destroyed) {
                if (other->capture) {
                    other->capture->spoilt = true;
                    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
                }
                before.push_back({other, other->queued});
            }
        auto run = work.run;
        work.run = [run, before]() {
            {
                Lock lock(mutex);
                for (auto &entry : before)
                    if (streams.count(entry.first))
                        if (CUresult result = drain(lock, entry.first, entry.second)) return result;
            }
            return run();
        };
    } else if (blocking(stream) && context->legacy && context->legacy->queued > context->legacy->finished) {
        unsigned long before = context->legacy->queued;
        Stream *legacy = context->legacy;
        auto run = work.run;
        work.run = [run, before, legacy]() {
            {
                Lock lock(mutex);
                if (CUresult result = drain(lock, legacy, before)) return result;
            }
            return run();
        };
    }
    stream->work.push_back(std::move(work));
    ++stream->queued;
    if (position) *position = stream->queued;
    return CUDA_SUCCESS;
}

CUresult put_and_wait(Lock &lock, Context *context, Work work)
{
    unsigned long position = 0;
    if (CUresult result = put(context, nullptr, std::move(work), &position)) return result;
    return drain(lock, context->legacy, position);
}

Work copy(CUdeviceptr to_device, void *to_host, CUdeviceptr from_device, const void *from_host, size_t size,
          const char *what)
{
    return {[=]() {
        unsigned char *to = to_host ? (unsigned char *)to_host : translate(to_device, size);
        const unsigned char *from = from_host ? (const unsigned char *)from_host : translate(from_device, size);
        if (!to) return illegal(what, to_device, size);
        if (!from) return illegal(what, from_device, size);
        memmove(to, from, size);
        return CUDA_SUCCESS;
    }, copy_ms(size), what};
}

CUresult allocate(Context *context, size_t size, CUdeviceptr *address)
{
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    size_t used = 0;
    for (auto &entry : memories)
        if (!entry.second.mapped) used += entry.second.size;
    if (used + size > (size_t)number("MEMORY", "1073741824")) return CUDA_ERROR_OUT_OF_MEMORY;
    unsigned char *block = (unsigned char *)malloc(size + 2 * GUARD);
    memset(block, FENCE, size + 2 * GUARD);
    memset(block + GUARD, GARBAGE, size);
    *address = next_address;
    next_address += (size + 1023) / 512 * 512;  // never used again, with a gap behind
    memories[*address] = {block + GUARD, size, context, false};
    return CUDA_SUCCESS;
}

void release_all(Context *context)
{
    context->alive = false;
    for (auto entry = memories.begin(); entry != memories.end();)
        if (entry->second.context == context) {
            if (!entry->second.mapped) free(entry->second.host - GUARD);
            entry = memories.erase(entry);
        } else ++entry;
    for (auto entry = hosts.begin(); entry != hosts.end();)
        entry = entry->second.context == context ? hosts.erase(entry) : std::next(entry);
    for (auto entry = streams.begin(); entry != streams.end();)
        entry = (*entry)->context == context ? streams.erase(entry) : std::next(entry);
    for (auto entry = events.begin(); entry != events.end();)
        entry = (*entry)->context == context ? events.erase(entry) : std::next(entry);
    for (auto entry = modules.begin(); entry != modules.end();)
        entry = (*entry)->context == context ? modules.erase(entry) : std::next(entry);
}

}  // namespace
