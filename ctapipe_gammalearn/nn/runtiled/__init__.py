"""Machine code for a backbone on a CPU: direct convolutions on runs of pixels.

`raster` lays out the cells, `plan` and `network` the steps and the memory, `text`,
`activations`, `kernels` and `passes` write LLVM IR, `machine` compiles and keeps it.
`training` does the same for the operations of a training, `gradients` and `norms` write them.
"""

from .machine import machine_code, machine_codes, processor
from .network import plan_network

__all__ = ["machine_code", "machine_codes", "plan_network", "processor"]
