/* From a camera's frame to the network's input in two passes: rows are resized to grey levels, columns to the input.

   The taps are those of edgenext_deploy/preprocess/taps.py: output i is the sum over t < counts[i] of
   weights[t * size + i] * source[starts[i] + t]. Both passes round to whole grey levels in 0..255, as the CPU does.

   ASCII only, and no include directive, not even the word with its hash in a comment: pycuda writes the file in the
   locale's encoding, and has nvcc preprocess, at each opening, a source that holds that word.
   The tests compile it as C++ too. */

typedef unsigned char byte;

/* A half goes up, also where the sum ends just below it: cpu.py, TIE. */
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

/* ITU-R BT.601 of limited range in fixed point, see pixel_formats.py. */
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

/* between [3, height, shown_width] to result, size rows of width pixels: each plane holds one colour of between, each
   level times scale plus offset. Around shown_height rows and shown_width columns lies a border of one level.
   kind: write float (0), half (1) or byte (2). pixel_step, plane_step: values from one pixel, and from one plane, to the
   next, so that result is [3, size, width] or [size, width, 3]. */
extern "C" __global__ void resize_columns(
    const byte *between, int shown_width, int height, const int *starts, const int *counts, const float *weights,
    int shown_height, int left, int top, int width, int size,
    int color_0, float scale_0, float offset_0, float border_0,
    int color_1, float scale_1, float offset_1, float border_1,
    int color_2, float scale_2, float offset_2, float border_2,
    int kind, int pixel_step, int plane_step, void *result)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= size)
        return;
    int column = x - left, row = y - top;
    int shown = column >= 0 && column < shown_width && row >= 0 && row < shown_height;
    int colors[3] = {color_0, color_1, color_2};
    float scales[3] = {scale_0, scale_1, scale_2};
    float offsets[3] = {offset_0, offset_1, offset_2};
    float levels[3] = {border_0, border_1, border_2};
    for (int plane = 0; plane < 3; ++plane) {
        float level = levels[plane];
        if (shown) {
            float sum = 0.0f;
            for (int tap = 0; tap < counts[row]; ++tap)
                sum += weights[tap * shown_height + row]
                    * between[(colors[plane] * height + starts[row] + tap) * shown_width + column];
            level = grey_level(sum);
        }
        float value = level * scales[plane] + offsets[plane];
        int index = plane * plane_step + (y * width + x) * pixel_step;
        if (kind == 2)
            ((byte *)result)[index] = (byte)value;
        else if (kind == 1)
            ((unsigned short *)result)[index] = half_bits(value);
        else
            ((float *)result)[index] = value;
    }
}
