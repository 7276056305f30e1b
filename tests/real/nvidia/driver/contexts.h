/* Contexts: the stack of each thread, and primary ones. */
EXPORT cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER_ANY("cuDevicePrimaryCtxRetain")
    if (sticky) return sticky;
    Context *&found = primaries[device];
    if (!found || !found->alive) {
        found = new Context{device, true};
        contexts.insert(found);
    }
    ++found->retained;
    *context = (CUcontext)found;
    return CUDA_SUCCESS;
}
#undef cuDevicePrimaryCtxRelease
static CUresult release_primary(CUdevice device)
{
    ENTER_ANY("cuDevicePrimaryCtxRelease")
    Context *found = primaries[device];
    if (!found || !found->retained) return CUDA_ERROR_INVALID_CONTEXT;
    if (--found->retained == 0) release_all(found);
    return CUDA_SUCCESS;
}
EXPORT cuDevicePrimaryCtxRelease(CUdevice device) { return release_primary(device); }
EXPORT cuDevicePrimaryCtxRelease_v2(CUdevice device) { return release_primary(device); }

static CUresult create(CUcontext *context, unsigned flags, CUdevice device)
{
    ENTER_ANY("cuCtxCreate")
    if (sticky) return sticky;
    Context *made = new Context{device, false};
    made->flags = flags;
    contexts.insert(made);
    stack.push_back(made);
    *context = (CUcontext)made;
    return CUDA_SUCCESS;
}
#undef cuCtxCreate
EXPORT cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device) { return create(context, flags, device); }
EXPORT cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) { return create(context, flags, device); }
EXPORT cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *, unsigned flags, CUdevice device)
{
    return create(context, flags, device);
}
static CUresult destroy(CUcontext handle)
{
    ENTER_ANY("cuCtxDestroy")
    Context *context = (Context *)handle;
    if (!contexts.count(context) || !context->alive) return CUDA_ERROR_INVALID_CONTEXT;
    if (context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    release_all(context);
    if (current() == context) stack.pop_back();
    return CUDA_SUCCESS;
}
#undef cuCtxDestroy
EXPORT cuCtxDestroy(CUcontext handle) { return destroy(handle); }
EXPORT cuCtxDestroy_v2(CUcontext handle) { return destroy(handle); }
EXPORT cuCtxAttach(CUcontext *handle, unsigned)
{
    ENTER("cuCtxAttach")
    ++context->retained;
    *handle = (CUcontext)context;
    return CUDA_SUCCESS;
}
EXPORT cuCtxDetach(CUcontext handle)
{
    Context *context = (Context *)handle;
    {
        ENTER_ANY("cuCtxDetach")
        if (!contexts.count(context)) return CUDA_ERROR_INVALID_CONTEXT;
        if (current() != context) {  // "must be current to the calling thread"
            note("cuCtxDetach of a context that is not current");
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        if (context->primary && number("DETACH_PRIMARY", "201")) {
            // "must be a handle that was passed back by cuCtxCreate() or cuCtxAttach()"
            note("cuCtxDetach of a primary context");
            return (CUresult)number("DETACH_PRIMARY", "201");
        }
        if (context->retained > 0) {
            --context->retained;
            return CUDA_SUCCESS;
        }
    }
    return destroy(handle);
}
#undef cuCtxPushCurrent
#undef cuCtxPopCurrent
EXPORT cuCtxPushCurrent_v2(CUcontext handle)
{
    ENTER_ANY("cuCtxPushCurrent")
    // "may also return error codes from previous, asynchronous launches"
    if (sticky && number("STICKY_PUSH", "1")) return sticky;
    Context *context = (Context *)handle;
    if (!contexts.count(context)) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    stack.push_back(context);
    return CUDA_SUCCESS;
}
EXPORT cuCtxPopCurrent_v2(CUcontext *handle)
{
    ENTER_ANY("cuCtxPopCurrent")
    if (sticky && number("STICKY_POP", "0")) return sticky;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (handle) *handle = (CUcontext)stack.back();
    stack.pop_back();
    return CUDA_SUCCESS;
}
EXPORT cuCtxGetCurrent(CUcontext *handle)
{
    ENTER_ANY("cuCtxGetCurrent")
    *handle = (CUcontext)current();
    return CUDA_SUCCESS;
}
EXPORT cuCtxSetCurrent(CUcontext context)
{
    ENTER_ANY("cuCtxSetCurrent")
    if (!stack.empty()) stack.pop_back();
    if (context) stack.push_back((Context *)context);
    return CUDA_SUCCESS;
}
EXPORT cuCtxGetDevice(CUdevice *device)
{
    ENTER("cuCtxGetDevice")
    *device = context->device;
    return CUDA_SUCCESS;
}
EXPORT cuCtxSynchronize(void)
{
    ENTER("cuCtxSynchronize")
    SAFE("cuCtxSynchronize")
    for (Stream *stream : std::set<Stream *>(streams))
        if (stream->context == context)
            if (CUresult result = drain(lock, stream, stream->queued)) return result;
    return context->legacy ? drain(lock, context->legacy, context->legacy->queued) : sticky;
}
