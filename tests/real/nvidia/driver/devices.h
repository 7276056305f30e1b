/* Initialisation and devices. */
EXPORT cuInit(unsigned flags)
{
    Lock lock(mutex);
    calls.push_back("cuInit");
    trace = number("TRACE", "0");
    if (CUresult failure = injected("cuInit")) return failure;
    if (long failure = number("INIT_RESULT", "0")) return (CUresult)failure;
    if (number("DEVICES", "1") < 1) return CUDA_ERROR_NO_DEVICE;
    if (!initialised) {
        std::string paths = setting("KERNELS", "");
        if (!paths.empty() && double_load_kernels(paths.c_str())) return CUDA_ERROR_UNKNOWN;
    }
    if (initialised && getpid() != owner_pid) return CUDA_ERROR_NOT_INITIALIZED;
    initialised = true;
    owner_pid = getpid();
    return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
EXPORT cuDriverGetVersion(int *version)
{
    *version = number("DRIVER", "13000");
    return CUDA_SUCCESS;
}
EXPORT cuGetErrorString(CUresult result, const char **text)
{
    auto found = TEXTS.find((int)result);
    *text = found == TEXTS.end() ? nullptr : found->second.second;
    return found == TEXTS.end() ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
EXPORT cuGetErrorName(CUresult result, const char **text)
{
    auto found = TEXTS.find((int)result);
    *text = found == TEXTS.end() ? nullptr : found->second.first;
    return found == TEXTS.end() ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
EXPORT cuDeviceGetCount(int *count)
{
    ENTER_ANY("cuDeviceGetCount")
    *count = number("DEVICES", "1");
    return CUDA_SUCCESS;
}
EXPORT cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER_ANY("cuDeviceGet")
    if (ordinal < 0 || ordinal >= number("DEVICES", "1")) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}
EXPORT cuDeviceGetName(char *name, int size, CUdevice)
{
    ENTER_ANY("cuDeviceGetName")
    snprintf(name, size, "%s", setting("NAME", "Double GPU").c_str());
    return CUDA_SUCCESS;
}
#undef cuDeviceTotalMem
EXPORT cuDeviceTotalMem_v2(size_t *bytes, CUdevice)
{
    ENTER_ANY("cuDeviceTotalMem")
    *bytes = number("MEMORY", "1073741824");
    return CUDA_SUCCESS;
}
static void capability(int *major, int *minor)
{
    if (sscanf(setting("CC", "8.7").c_str(), "%d.%d", major, minor) != 2) *major = 8, *minor = 7;
}
EXPORT cuDeviceComputeCapability(int *major, int *minor, CUdevice)
{
    ENTER_ANY("cuDeviceComputeCapability")
    capability(major, minor);
    return CUDA_SUCCESS;
}
EXPORT cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice)
{
    ENTER_ANY("cuDeviceGetAttribute")
    int major, minor;
    capability(&major, &minor);
    switch ((int)attribute) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = major; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = minor; break;
        case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = number("INTEGRATED", "0"); break;
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY: *value = number("MAPS", "1"); break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 8; break;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
