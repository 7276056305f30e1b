/* Device memory, page-locked memory, copies. */
#undef cuMemAlloc
#undef cuMemFree
#undef cuMemGetInfo
#undef cuMemGetAddressRange
#undef cuMemHostGetDevicePointer
#undef cuMemHostRegister
#undef cuMemAllocHost
#undef cuMemcpyHtoD
#undef cuMemcpyDtoH
#undef cuMemcpyDtoD
#undef cuMemcpyHtoDAsync
#undef cuMemcpyDtoHAsync
#undef cuMemcpyDtoDAsync
#undef cuMemsetD8
#undef cuMemsetD8Async
EXPORT cuMemAlloc_v2(CUdeviceptr *address, size_t size)
{
    ENTER("cuMemAlloc")
    SAFE("cuMemAlloc")
    return allocate(context, size, address);
}
EXPORT cuMemFree_v2(CUdeviceptr address)
{
    ENTER("cuMemFree")
    SAFE("cuMemFree")
    auto found = memories.find(address);
    if (found == memories.end() || found->second.mapped) {
        note("cuMemFree of %llx, which is not allocated", (unsigned long long)address);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (found->second.context != context) note("cuMemFree in another context");
    free(found->second.host - GUARD);
    memories.erase(found);
    return CUDA_SUCCESS;
}
EXPORT cuMemGetInfo_v2(size_t *unused, size_t *total)
{
    ENTER("cuMemGetInfo")
    size_t used = 0;
    for (auto &entry : memories)
        if (!entry.second.mapped) used += entry.second.size;
    *total = number("MEMORY", "1073741824");
    *unused = *total - used;
    return CUDA_SUCCESS;
}
EXPORT cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr address)
{
    ENTER("cuMemGetAddressRange")
    auto found = memories.upper_bound(address);
    if (found == memories.begin()) return CUDA_ERROR_NOT_FOUND;
    --found;
    if (address >= found->first + found->second.size) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = found->first;
    if (size) *size = found->second.size;
    return CUDA_SUCCESS;
}
static CUresult allocate_host(const char *name, void **pointer, size_t size, unsigned flags)
{
    ENTER(name)
    SAFE(name)
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    if (flags & ~7u) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_MEMHOSTALLOC_DEVICEMAP) && !number("MAPS", "1")) return CUDA_ERROR_INVALID_VALUE;
    if (posix_memalign(pointer, 4096, size)) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(*pointer, GARBAGE, size);
    hosts[(char *)*pointer] = {size, context, flags, 0, false};
    return CUDA_SUCCESS;
}
EXPORT cuMemHostAlloc(void **pointer, size_t size, unsigned flags)
{
    return allocate_host("cuMemHostAlloc", pointer, size, flags);
}
EXPORT cuMemAllocHost_v2(void **pointer, size_t size) { return allocate_host("cuMemAllocHost", pointer, size, 0); }
EXPORT cuMemFreeHost(void *pointer)
{
    ENTER("cuMemFreeHost")
    SAFE("cuMemFreeHost")
    auto found = hosts.find((char *)pointer);
    if (found == hosts.end() || found->second.registered) {
        note("cuMemFreeHost of what is not allocated");
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (found->second.context != context) note("cuMemFreeHost in another context");
    if (found->second.device) memories.erase(found->second.device);
    hosts.erase(found);
    memset(pointer, 0xDD, 1);
    free(pointer);
    return CUDA_SUCCESS;
}
EXPORT cuMemHostRegister_v2(void *pointer, size_t size, unsigned flags)
{
    ENTER("cuMemHostRegister")
    SAFE("cuMemHostRegister")
    if (page_locked(pointer, 1)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    // CU_MEMHOSTREGISTER_DEVICEMAP is 2, as CU_MEMHOSTALLOC_DEVICEMAP is
    hosts[(char *)pointer] = {size, context, flags, 0, true};
    return CUDA_SUCCESS;
}
EXPORT cuMemHostUnregister(void *pointer)
{
    ENTER("cuMemHostUnregister")
    auto found = hosts.find((char *)pointer);
    if (found == hosts.end() || !found->second.registered) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (found->second.device) memories.erase(found->second.device);
    hosts.erase(found);
    return CUDA_SUCCESS;
}
EXPORT cuMemHostGetDevicePointer_v2(CUdeviceptr *address, void *pointer, unsigned flags)
{
    ENTER("cuMemHostGetDevicePointer")
    auto found = hosts.find((char *)pointer);
    if (found == hosts.end() || flags) return CUDA_ERROR_INVALID_VALUE;
    // With unified addressing all page-locked memory is mapped; the double is as strict as boards without.
    if (!(found->second.flags & CU_MEMHOSTALLOC_DEVICEMAP) || !number("MAPS", "1")) return CUDA_ERROR_INVALID_VALUE;
    if (!found->second.device) {
        found->second.device = next_address;
        next_address += (found->second.size + 1023) / 512 * 512;
        memories[found->second.device] = {(unsigned char *)pointer, found->second.size, found->second.context, true};
    }
    *address = found->second.device;
    return CUDA_SUCCESS;
}
EXPORT cuMemHostGetFlags(unsigned *flags, void *pointer)
{
    ENTER("cuMemHostGetFlags")
    auto found = hosts.find((char *)pointer);
    if (found == hosts.end()) return CUDA_ERROR_INVALID_VALUE;
    *flags = found->second.flags;
    return CUDA_SUCCESS;
}

EXPORT cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size)
{
    ENTER("cuMemcpyHtoD")
    SAFE("cuMemcpyHtoD")
    return put_and_wait(lock, context, copy(to, nullptr, 0, from, size, "cuMemcpyHtoD"));
}
EXPORT cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size)
{
    ENTER("cuMemcpyDtoH")
    SAFE("cuMemcpyDtoH")
    return put_and_wait(lock, context, copy(0, to, from, nullptr, size, "cuMemcpyDtoH"));
}
EXPORT cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size)
{
    ENTER("cuMemcpyDtoD")
    SAFE("cuMemcpyDtoD")
    return put_and_wait(lock, context, copy(to, nullptr, from, nullptr, size, "cuMemcpyDtoD"));
}
EXPORT cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream)
{
    ENTER("cuMemcpyHtoDAsync")
    if (!page_locked(from, size)) {
        note("cuMemcpyHtoDAsync from pageable memory");
        auto staged = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + size);
        Work work = copy(to, nullptr, 0, staged->data(), size, "cuMemcpyHtoDAsync");
        auto run = work.run;
        work.run = [run, staged]() { return run(); };
        return put(context, stream, work);
    }
    return put(context, stream, copy(to, nullptr, 0, from, size, "cuMemcpyHtoDAsync"));
}
EXPORT cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream)
{
    ENTER("cuMemcpyDtoHAsync")
    if (!page_locked(to, size)) note("cuMemcpyDtoHAsync to pageable memory");
    return put(context, stream, copy(0, to, from, nullptr, size, "cuMemcpyDtoHAsync"));
}
EXPORT cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    ENTER("cuMemcpyDtoDAsync")
    return put(context, stream, copy(to, nullptr, from, nullptr, size, "cuMemcpyDtoDAsync"));
}
static Work fill(CUdeviceptr address, unsigned char value, size_t size)
{
    return {[=]() {
        unsigned char *memory = translate(address, size);
        if (!memory) return illegal("cuMemsetD8", address, size);
        memset(memory, value, size);
        return CUDA_SUCCESS;
    }, copy_ms(size), "cuMemsetD8"};
}
EXPORT cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t size)
{
    ENTER("cuMemsetD8")
    SAFE("cuMemsetD8")
    return put(context, nullptr, fill(address, value, size));
}
EXPORT cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t size, CUstream stream)
{
    ENTER("cuMemsetD8Async")
    return put(context, stream, fill(address, value, size));
}
