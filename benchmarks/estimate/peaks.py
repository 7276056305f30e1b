"""Peak rates of devices, for estimates: what the hardware cannot exceed. Nothing here was measured by this toolkit."""
from typing import Dict, NamedTuple

from edgenext_deploy.errors import UsageError


class Peak(NamedTuple):
    """A device's limits.

    Attributes:
        device: name of the target.
        title: the hardware.
        fp32_flops: floating-point operations a second of a network in FP32: by tensor cores in TF32 where there are
            some, for TensorRT and cuDNN compute convolutions and matrix products so unless they are told not to.
        fp16_flops: the same in half precision, dense, with tensor cores where there are some.
        memory_bytes_s: bytes a second between GPU and memory.
        cache_bytes: size of the GPU's last cache, from which what fits in it need not be moved again.
        launch_us: what starting a kernel costs at least, in microseconds; an assumption.
        source: where the rates come from.
    """

    device: str
    title: str
    fp32_flops: float
    fp16_flops: float
    memory_bytes_s: float
    cache_bytes: int
    launch_us: float
    source: str

    def flops(self, precision: str) -> float:
        """Return the rate of ``fp16`` or ``fp32``."""
        return self.fp16_flops if precision == "fp16" else self.fp32_flops


_TABLE = (
    # 128 cores x 921.6 MHz x 2 operations of a multiply-add; GM20B does twice as many in FP16 (compute capability
    # 5.3). Clock: nvpmodel's MAXN. NVIDIA's data sheet of the module prints 472 GFLOPS and 25.6 GB/s.
    Peak("nano", "Jetson Nano 4 GB, MAXN: 128 Maxwell cores at 921.6 MHz, 64-bit LPDDR4",
         236e9, 472e9, 25.6e9, 256 << 10, 5.0,
         "cores x clock x 2, FP16 twice that; NVIDIA's Jetson Nano data sheet: 472 GFLOPS (FP16), 25.6 GB/s; "
         "L2 of Tegra X1: 256 KB"),
    Peak("a100", "A100 40 GB, tensor cores", 156e12, 312e12, 1555e9, 40 << 20, 2.0,
         "NVIDIA's A100 data sheet: 156 TFLOPS (TF32 tensor, dense), 312 TFLOPS (FP16 tensor, dense), 1,555 GB/s, "
         "40 MB L2"),
    # The data sheet prints the tensor cores' rates with sparsity: twice these.
    Peak("h100", "H100 SXM 80 GB, tensor cores", 494.5e12, 989e12, 3350e9, 50 << 20, 2.0,
         "NVIDIA's H100 data sheet: 494.5 TFLOPS (TF32 tensor, dense), 989 TFLOPS (FP16 tensor, dense), 3.35 TB/s, "
         "50 MB L2"),
)
PEAKS: Dict[str, Peak] = {peak.device: peak for peak in _TABLE}


def get_peak(device: str) -> Peak:
    """Return a device's limits.

    Raises:
        UsageError: they are not in the table.
    """
    if device not in PEAKS:
        raise UsageError("no peak rates are known for device {!r}".format(device),
                         "choose one of: " + ", ".join(PEAKS))
    return PEAKS[device]
