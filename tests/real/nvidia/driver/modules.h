/* Modules and kernels. */
namespace {

template <typename T> T at(const unsigned char *bytes, size_t offset)
{
    T value;
    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

/* Read a cubin: 64-bit ELF for machine 190; .text.NAME is a kernel, .nv.info.NAME tells its parameters. */
CUresult read_cubin(const unsigned char *bytes, Module *module)
{
    // Of tests/real/nvidia/nvcc.py, where there is no nvcc: the kernels' names, and nothing of their parameters.
    if (memcmp(bytes, "KERNELS ", 8) == 0) {
        std::istringstream names((const char *)bytes + 8);
        for (std::string name; names >> name;) {
            module->kernels[name].reset(new Kernel{name});
            module->kernels[name]->module = module;
        }
        return CUDA_SUCCESS;
    }
    if (memcmp(bytes, "\177ELF\2\1", 6) != 0 || at<unsigned short>(bytes, 18) != 190) return CUDA_ERROR_INVALID_IMAGE;
    unsigned flags = at<unsigned>(bytes, 48);
    // Up to CUDA 12 the architecture is in the lowest byte, from ABI version 8 on in the second.
    unsigned arch = bytes[8] >= 8 ? flags >> 8 & 0xffff : flags & 0xff;
    int major, minor;
    capability(&major, &minor);
    if ((int)arch / 10 != major || (int)arch % 10 > minor) {
        fprintf(stderr, "cudadouble: a cubin for sm_%u on a GPU of %d.%d\n", arch, major, minor);
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    size_t sections = at<unsigned long>(bytes, 40);
    unsigned count = at<unsigned short>(bytes, 60), names = at<unsigned short>(bytes, 62), size = at<unsigned short>(bytes, 58);
    const unsigned char *table = bytes + sections;
    size_t strings = at<unsigned long>(table + names * size, 24);
    for (unsigned i = 0; i < count; ++i) {
        std::string name = (const char *)bytes + strings + at<unsigned>(table + i * size, 0);
        if (name.compare(0, 6, ".text.") == 0) {
            auto &kernel = module->kernels[name.substr(6)];
            if (!kernel) kernel.reset(new Kernel);
            kernel->name = name.substr(6);
            kernel->module = module;
        }
    }
    for (unsigned i = 0; i < count; ++i) {
        const unsigned char *header = table + i * size;
        std::string name = (const char *)bytes + strings + at<unsigned>(header, 0);
        if (name.compare(0, 9, ".nv.info.") != 0 || !module->kernels.count(name.substr(9))) continue;
        Kernel *kernel = module->kernels[name.substr(9)].get();
        const unsigned char *info = bytes + at<unsigned long>(header, 24), *end = info + at<unsigned long>(header, 32);
        std::map<unsigned, Parameter> found;
        while (info + 4 <= end) {
            unsigned format = info[0], attribute = info[1], length = format == 4 ? at<unsigned short>(info, 2) : 0;
            if (format == 4 && attribute == 0x17 && length == 12)  // EIATTR_KPARAM_INFO
                found[at<unsigned short>(info, 8)] = {at<unsigned short>(info, 10), at<unsigned>(info, 12) >> 18 & 0x3fff};
            info += 4 + length;
        }
        for (auto &entry : found) kernel->parameters.push_back(entry.second);
        kernel->known_layout = true;
    }
    return CUDA_SUCCESS;
}

CUresult load(const char *name, CUmodule *handle, const void *image)
{
    ENTER(name)
    std::unique_ptr<Module> module(new Module{context, {}});
    if (CUresult result = read_cubin((const unsigned char *)image, module.get())) return result;
    *handle = (CUmodule)module.get();
    modules.insert(module.release());
    return CUDA_SUCCESS;
}

}  // namespace

EXPORT cuModuleLoadData(CUmodule *module, const void *image) { return load("cuModuleLoadData", module, image); }
EXPORT cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **)
{
    return load("cuModuleLoadDataEx", module, image);
}
EXPORT cuModuleUnload(CUmodule handle)
{
    ENTER("cuModuleUnload")
    if (!modules.erase((Module *)handle)) {
        note("cuModuleUnload of what is no module");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return CUDA_SUCCESS;
}
EXPORT cuModuleGetFunction(CUfunction *function, CUmodule handle, const char *name)
{
    ENTER("cuModuleGetFunction")
    Module *module = (Module *)handle;
    if (!modules.count(module)) return CUDA_ERROR_INVALID_HANDLE;
    auto found = module->kernels.find(name);
    if (found == module->kernels.end()) return CUDA_ERROR_NOT_FOUND;
    *function = (CUfunction)found->second.get();
    return CUDA_SUCCESS;
}
EXPORT cuFuncGetAttribute(int *value, CUfunction_attribute, CUfunction)
{
    *value = 0;
    return CUDA_SUCCESS;
}
EXPORT cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned, CUstream stream, void **parameters, void **extra)
{
    ENTER("cuLaunchKernel")
    Kernel *kernel = (Kernel *)function;
    bool known = false;
    for (Module *module : modules)
        for (auto &entry : module->kernels) known = known || entry.second.get() == kernel;
    if (!known) {
        note("a kernel launched whose module is unloaded");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || bz > 64 || gy > 65535 || gz > 65535)
        return CUDA_ERROR_INVALID_VALUE;
    typedef void Launch(const unsigned *sizes, void **values);
    Launch *launch = nullptr;
    const char *types = nullptr;
    for (void *library : kernel_libraries) {
        launch = (Launch *)dlsym(library, ("launch_" + kernel->name).c_str());
        types = (const char *)dlsym(library, ("types_" + kernel->name).c_str());
        if (launch && types) break;
    }
    if (!launch || !types) {
        fprintf(stderr, "cudadouble: kernel %s is not in EDGENEXT_DOUBLE_KERNELS\n", kernel->name.c_str());
        return CUDA_ERROR_NOT_FOUND;
    }
    // The layout: p is a pointer of 8 bytes, everything else has 4; naturally aligned.
    std::vector<Parameter> layout;
    size_t end = 0;
    for (const char *type = types; *type; ++type) {
        size_t size = *type == 'p' ? 8 : 4;
        end = (end + size - 1) / size * size;
        layout.push_back({end, size});
        end += size;
    }
    if (kernel->known_layout) {
        bool same = layout.size() == kernel->parameters.size();
        for (size_t i = 0; same && i < layout.size(); ++i)
            same = layout[i].offset == kernel->parameters[i].offset && layout[i].size == kernel->parameters[i].size;
        if (!same) {
            note("kernel %s: nvcc's parameters are not those of the C++ one", kernel->name.c_str());
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    auto buffer = std::make_shared<std::vector<unsigned char>>(end);
    if (parameters) {
        for (size_t i = 0; i < layout.size(); ++i) memcpy(buffer->data() + layout[i].offset, parameters[i], layout[i].size);
    } else {
        const void *given = nullptr;
        size_t size = 0;
        for (void **option = extra; option && *option != CU_LAUNCH_PARAM_END; option += 2)
            if (option[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) given = option[1];
            else if (option[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *(size_t *)option[1];
        if (!given || size != end) {
            note("kernel %s: %zu bytes of arguments given, %zu expected", kernel->name.c_str(), size, end);
            return CUDA_ERROR_INVALID_VALUE;
        }
        memcpy(buffer->data(), given, size);
    }
    std::string letters = types, name = kernel->name;
    std::vector<unsigned> sizes = {gx, gy, bx, by};
    return put(context, stream, {[=]() {
        std::vector<unsigned char> copied = *buffer;
        std::vector<void *> values;
        for (size_t i = 0; i < layout.size(); ++i) {
            unsigned char *value = copied.data() + layout[i].offset;
            if (letters[i] == 'p') {
                unsigned char *host = translate(at<CUdeviceptr>(value, 0), 1);
                if (!host) return illegal(name.c_str(), at<CUdeviceptr>(value, 0), 1);
                memcpy(value, &host, sizeof host);
            }
            values.push_back(value);
        }
        static std::mutex one;  // the C++ kernels have their indices in globals
        std::lock_guard<std::mutex> only(one);
        launch(sizes.data(), values.data());
        return check_guards(name.c_str());
    }, KERNEL_MS, "cuLaunchKernel"});
}
EXPORT cuFuncSetBlockShape(CUfunction, int x, int y, int z)
{
    ENTER("cuFuncSetBlockShape")
    return x < 1 || y < 1 || z < 1 || x * y * z > 1024 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
EXPORT cuFuncSetSharedSize(CUfunction, unsigned)
{
    ENTER("cuFuncSetSharedSize")
    return CUDA_SUCCESS;
}
EXPORT cuCtxGetApiVersion(CUcontext, unsigned *version)
{
    *version = 3020;
    return CUDA_SUCCESS;
}
