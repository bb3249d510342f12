"""Networks of every shape that the generated kernels distinguish: options of random_network."""

SMALL = dict(num_layers=1, block_features=(3, 4), reduced=(1, 1))
SHAPES = {
    "one block": dict(block_features=(8,), reduced=(2,)),
    "hardly any channels": dict(num_channels=1, block_features=(2, 3), reduced=(1, 1)),
    "five input channels": dict(num_channels=5, block_features=(8, 16), reduced=(2, 4)),
    "several vectors": dict(num_layers=1, block_features=(24, 40, 80), reduced=(3, 5, 9)),
    "squeeze, no norm": dict(attention="se", norm="none", num_layers=3),
    "no attention": dict(attention="none", reduced=(), activation="silu"),
}
