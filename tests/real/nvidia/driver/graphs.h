/* Captures and graphs. */
#undef cuStreamBeginCapture
EXPORT cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    ENTER("cuStreamBeginCapture_v2")
    if (handle == nullptr || handle == CU_STREAM_LEGACY) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    Stream *stream = resolve(handle, context);
    if (!stream || stream->context != context) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capture.reset(new Capture{std::this_thread::get_id(), mode});
    return CUDA_SUCCESS;
}
EXPORT cuStreamEndCapture(CUstream handle, CUgraph *graph)
{
    ENTER("cuStreamEndCapture")
    Stream *stream = resolve(handle, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && stream->capture->thread != std::this_thread::get_id())
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    std::unique_ptr<Capture> capture = std::move(stream->capture);
    if (capture->spoilt) {
        *graph = nullptr;
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    Graph *made = new Graph{capture->work};
    graphs.insert(made);
    *graph = (CUgraph)made;
    return CUDA_SUCCESS;
}
EXPORT cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    ENTER("cuStreamIsCapturing")
    Stream *stream = resolve(handle, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    *status = !stream->capture ? CU_STREAM_CAPTURE_STATUS_NONE : stream->capture->spoilt
        ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}
#undef cuGraphInstantiate
static CUresult instantiate(CUgraphExec *executable, CUgraph handle)
{
    ENTER("cuGraphInstantiate")
    Graph *graph = (Graph *)handle;
    if (!graphs.count(graph)) return CUDA_ERROR_INVALID_VALUE;
    Executable *made = new Executable{graph->work};
    executables.insert(made);
    *executable = (CUgraphExec)made;
    return CUDA_SUCCESS;
}
EXPORT cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags)
{
    return flags ? CUDA_ERROR_INVALID_VALUE : instantiate(executable, graph);
}
EXPORT cuGraphInstantiate_v2(CUgraphExec *executable, CUgraph graph, CUgraphNode *, char *, size_t)
{
    return instantiate(executable, graph);
}
EXPORT cuGraphLaunch(CUgraphExec handle, CUstream stream)
{
    ENTER("cuGraphLaunch")
    Executable *executable = (Executable *)handle;
    if (!executables.count(executable)) {
        note("a destroyed graph launched");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    ++executable->under_way;
    std::vector<Work> work = executable->work;
    double ms = number("REPLAY_US", "-1") >= 0 ? number("REPLAY_US", "-1") / 1e3 : -1;
    if (ms < 0) {
        ms = 0;
        for (Work &part : work) ms += part.ms / 2;
    }
    return put(context, stream, {[executable, work]() {
        CUresult result = CUDA_SUCCESS;
        for (const Work &part : work)
            if ((result = part.run())) break;
        Lock lock(mutex);
        --executable->under_way;
        return result;
    }, ms, "cuGraphLaunch"});
}
EXPORT cuGraphExecDestroy(CUgraphExec handle)
{
    ENTER("cuGraphExecDestroy")
    Executable *executable = (Executable *)handle;
    if (!executables.erase(executable)) {
        note("a graph destroyed twice");
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (executable->under_way) note("a graph destroyed while it is under way");
    else delete executable;
    return CUDA_SUCCESS;
}
EXPORT cuGraphDestroy(CUgraph handle)
{
    ENTER("cuGraphDestroy")
    if (!graphs.erase((Graph *)handle)) return CUDA_ERROR_INVALID_VALUE;
    delete (Graph *)handle;
    return CUDA_SUCCESS;
}
