/* From a camera's frame to the network's input in two passes: rows are resized to grey levels, columns to the input.

   The taps are those of edgenext_deploy.resampling: output i is the sum over t < counts[i] of
   weights[t * size + i] * source[starts[i] + t]. Both passes round to whole grey levels in 0..255, as the CPU does.

   ASCII only and without #include: pycuda writes it in the locale's encoding, and asks nvcc to preprocess what includes.
   The tests compile it as C++ too. */

typedef unsigned char byte;

/* A half goes up, also where the sum ends just below it: preprocess_cpu.TIE. */
static __device__ float grey_level(float value)
{
    return fminf(fmaxf(rintf(value + 1.0f / 8192.0f), 0.0f), 255.0f);
}

#ifdef __CUDACC__
static __device__ unsigned short half_bits(float value)
{
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

/* ITU-R BT.601 of limited range in fixed point, see edgenext_deploy.pixels. */
static __device__ float nv12_level(int luma, int chroma)
{
    int level = ((luma > 16 ? luma - 16 : 0) * 1220542 + chroma + (1 << 19)) >> 20;
    return (float)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* Frame [height, width] to between [3, height, size]: red, green and blue of one output pixel.
   A frame of NV12 is [height, width] of luma, then [height / 2, width] of U and V in turn. */
extern "C" __global__ void resize_rows(
    const byte *frame, int width, int height, int nv12, int pixel_bytes, int red, int green, int blue,
    const int *starts, const int *counts, const float *weights, int size, byte *between)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= size || y >= height)
        return;
    /* 64 bits: a frame may have more bytes than an int counts. */
    const byte *row = frame + (long long)y * width * pixel_bytes;
    const byte *pairs = frame + (long long)(height + y / 2) * width;
    float r = 0.0f, g = 0.0f, b = 0.0f;
    for (int tap = 0; tap < counts[x]; ++tap) {
        float weight = weights[tap * size + x];
        int column = starts[x] + tap;
        if (nv12) {
            const byte *pair = pairs + column / 2 * 2;
            int luma = row[column], u = pair[0] - 128, v = pair[1] - 128;
            r += weight * nv12_level(luma, 1673527 * v);
            g += weight * nv12_level(luma, -852492 * v - 409993 * u);
            b += weight * nv12_level(luma, 2116026 * u);
        } else {
            const byte *pixel = row + (long long)column * pixel_bytes;
            r += weight * pixel[red];
            g += weight * pixel[green];
            b += weight * pixel[blue];
        }
    }
    between[y * size + x] = (byte)grey_level(r);
    between[(height + y) * size + x] = (byte)grey_level(g);
    between[(2 * height + y) * size + x] = (byte)grey_level(b);
}

/* between [3, height, width] to result [3, size, width], each level times scale plus offset; float, or half if `half`. */
extern "C" __global__ void resize_columns(
    const byte *between, int width, int height, const int *starts, const int *counts, const float *weights, int size,
    float red_scale, float red_offset, float green_scale, float green_offset, float blue_scale, float blue_offset,
    int half, void *result)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= size)
        return;
    float scales[3] = {red_scale, green_scale, blue_scale};
    float offsets[3] = {red_offset, green_offset, blue_offset};
    for (int channel = 0; channel < 3; ++channel) {
        float sum = 0.0f;
        for (int tap = 0; tap < counts[y]; ++tap)
            sum += weights[tap * size + y] * between[(channel * height + starts[y] + tap) * width + x];
        float value = grey_level(sum) * scales[channel] + offsets[channel];
        int index = (channel * size + y) * width + x;
        if (half)
            ((unsigned short *)result)[index] = half_bits(value);
        else
            ((float *)result)[index] = value;
    }
}
