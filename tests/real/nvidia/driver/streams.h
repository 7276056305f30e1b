/* Streams and events. */
#undef cuStreamDestroy
#undef cuEventDestroy
#undef cuEventElapsedTime
EXPORT cuStreamCreate(CUstream *handle, unsigned flags)
{
    ENTER("cuStreamCreate")
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    Stream *stream = new Stream{context, flags};
    streams.insert(stream);
    *handle = (CUstream)stream;
    return CUDA_SUCCESS;
}
EXPORT cuStreamDestroy_v2(CUstream handle)
{
    ENTER("cuStreamDestroy")
    Stream *stream = (Stream *)handle;
    if (!streams.count(stream)) {
        note("cuStreamDestroy of what is no stream");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (stream->context != context) note("cuStreamDestroy in another context");
    if (stream->queued > stream->finished) {
        note("a stream destroyed with unfinished work");
        drain(lock, stream, stream->queued);
    }
    streams.erase(stream);
    delete stream;
    return CUDA_SUCCESS;
}
EXPORT cuStreamSynchronize(CUstream handle)
{
    ENTER("cuStreamSynchronize")
    Stream *stream = resolve(handle, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) {
        stream->capture->spoilt = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return drain(lock, stream, stream->queued);
}
EXPORT cuStreamQuery(CUstream handle)
{
    ENTER("cuStreamQuery")
    Stream *stream = resolve(handle, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) {
        stream->capture->spoilt = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return stream->queued > stream->finished ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
EXPORT cuEventCreate(CUevent *handle, unsigned flags)
{
    ENTER("cuEventCreate")
    Event *event = new Event{context, flags};
    events.insert(event);
    *handle = (CUevent)event;
    return CUDA_SUCCESS;
}
EXPORT cuEventDestroy_v2(CUevent handle)
{
    ENTER("cuEventDestroy")
    Event *event = (Event *)handle;
    if (!events.count(event)) {
        note("cuEventDestroy of what is no event");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    events.erase(event);
    delete event;
    return CUDA_SUCCESS;
}
EXPORT cuEventRecord(CUevent handle, CUstream to)
{
    ENTER("cuEventRecord")
    Event *event = (Event *)handle;
    if (!events.count(event) || event->context != context) return CUDA_ERROR_INVALID_HANDLE;
    Stream *stream = resolve(to, context);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    event->captured = stream->capture != nullptr;
    if (event->captured) {
        note("an event recorded in a capture, where it tells no time");
        return put(context, to, {[]() { return CUDA_SUCCESS; }, 0, "cuEventRecord"});
    }
    unsigned long generation = ++event->generation;
    event->recorded = true;
    event->done = false;
    event->stream = stream;
    return put(context, to, {[event, generation]() {
        Lock lock(mutex);
        if (events.count(event) && event->generation == generation) {
            event->done = true;
            event->time = clock_ms;
        }
        return CUDA_SUCCESS;
    }, 0, "cuEventRecord"}, &event->number);
}
EXPORT cuEventSynchronize(CUevent handle)
{
    ENTER("cuEventSynchronize")
    Event *event = (Event *)handle;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (!event->recorded || event->done) return CUDA_SUCCESS;
    if (!streams.count(event->stream) && event->stream != context->legacy) return CUDA_SUCCESS;
    return drain(lock, event->stream, event->number);
}
EXPORT cuEventQuery(CUevent handle)
{
    ENTER("cuEventQuery")
    Event *event = (Event *)handle;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    return event->recorded && !event->done ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
static CUresult elapsed(float *ms, CUevent from, CUevent to)
{
    ENTER("cuEventElapsedTime")
    Event *start = (Event *)from, *end = (Event *)to;
    if (!events.count(start) || !events.count(end) || !start->recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (!start->done || !end->done) return CUDA_ERROR_NOT_READY;
    *ms = (float)(end->time - start->time);
    return CUDA_SUCCESS;
}
EXPORT cuEventElapsedTime(float *ms, CUevent from, CUevent to) { return elapsed(ms, from, to); }
EXPORT cuEventElapsedTime_v2(float *ms, CUevent from, CUevent to) { return elapsed(ms, from, to); }
EXPORT cuStreamWaitEvent(CUstream handle, CUevent on, unsigned)
{
    ENTER("cuStreamWaitEvent")
    Event *event = (Event *)on;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->recorded) return CUDA_SUCCESS;
    Stream *stream = event->stream;
    unsigned long position = event->number;
    return put(context, handle, {[stream, position]() {
        Lock lock(mutex);
        return drain(lock, stream, position);
    }, 0, "cuStreamWaitEvent"});
}
EXPORT cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data)
{
    ENTER("cuLaunchHostFunc")
    return put(context, stream, {[=]() {
        function(data);
        return check_guards("cuLaunchHostFunc");
    }, HOST_MS, "cuLaunchHostFunc"});
}
/* As cuLaunchHostFunc, with what it takes of the GPU's time: for doubles of libraries that launch kernels. */
CONTROL int double_launch(CUstream stream, CUhostFn function, void *data, double ms)
{
    ENTER("double_launch")
    return put(context, stream, {[=]() {
        function(data);
        return sticky ? sticky : check_guards("double_launch");
    }, ms, "double_launch"});
}
CONTROL int double_is_capturing(CUstream handle)
{
    Lock lock(mutex);
    Stream *stream = (Stream *)handle;
    return streams.count(stream) && stream->capture;
}
