/* For the tests: settings, errors on demand, and what is left or was done wrong. */
CONTROL void double_configure(const char *name, const char *value)
{
    Lock lock(mutex);
    settings[name] = value;
    trace = number("TRACE", "0");
}

CONTROL void double_fail(const char *function, int result, int times)  // times 0: for good; result 0: no more
{
    Lock lock(mutex);
    if (result) failures[function] = {(CUresult)result, times};
    else failures.erase(function);
}

CONTROL void double_break(int result)
{
    Lock lock(mutex);
    sticky = (CUresult)result;
}

CONTROL void *double_at(unsigned long long address, size_t size) { return translate(address, size); }

CONTROL int double_is_mapped(unsigned long long address)
{
    const Memory *found = nullptr;
    return translate(address, 1, &found) && found->mapped;
}

CONTROL int double_load_kernels(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "cudadouble: %s\n", dlerror());
        return 1;
    }
    Lock lock(mutex);
    kernel_libraries.push_back(library);
    return 0;
}

CONTROL const char *double_violations()  // one a line; they are forgotten then
{
    static thread_local std::string text;
    Lock lock(mutex);
    text.clear();
    for (auto &entry : notes) text += entry + "\n";
    notes.clear();
    return text.c_str();
}

CONTROL const char *double_calls()
{
    static thread_local std::string text;
    Lock lock(mutex);
    text.clear();
    for (auto &entry : calls) text += entry + "\n";
    calls.clear();
    return text.c_str();
}

CONTROL void double_log(const char *name)
{
    Lock lock(mutex);
    calls.push_back(name);
}

CONTROL const char *double_account()  // what has not been given back, as JSON
{
    static thread_local std::string text;
    Lock lock(mutex);
    size_t device = 0, mapped = 0, locked = 0, live = 0;
    for (auto &entry : memories) {
        if (entry.second.mapped) ++mapped;
        else device += entry.second.size;
    }
    for (auto &entry : hosts) locked += entry.second.size;
    for (Context *entry : contexts) live += entry->alive;
    char buffer[400];
    snprintf(buffer, sizeof buffer, "{\"device\": %zu, \"page-locked\": %zu, \"mapped\": %zu, \"streams\": %zu, "
             "\"events\": %zu, \"modules\": %zu, \"graphs\": %zu, \"executables\": %zu, \"contexts\": %zu, \"depth\": %zu}", device, locked,
             mapped, streams.size(), events.size(), modules.size(), graphs.size(), executables.size(), live, stack.size());
    text = buffer;
    return text.c_str();
}

/* A new machine: nothing of the old one is known any more. Only between tests that closed everything. */
CONTROL void double_reset()
{
    Lock lock(mutex);
    sticky = CUDA_SUCCESS;
    notes.clear();
    failures.clear();
    settings.clear();
    calls.clear();
    clock_ms = 0;
}
