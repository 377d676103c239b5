"""The layers of AlexNet and VGG16 as LPIPS takes them: plain data, which imports no torch."""

# The convolutions before each of the maps that LPIPS compares, of torchvision's AlexNet and VGG16:
# (channels, kernel, stride, padding), or (0, kernel, stride, 0) for a pooling.
POOL_3, POOL_2 = (0, 3, 2, 0), (0, 2, 2, 0)
LAYERS = {
    "alex": (
        [(64, 11, 4, 2)],
        [POOL_3, (192, 5, 1, 2)],
        [POOL_3, (384, 3, 1, 1)],
        [(256, 3, 1, 1)],
        [(256, 3, 1, 1)],
    ),
    "vgg": (
        [(64, 3, 1, 1)] * 2,
        [POOL_2, *[(128, 3, 1, 1)] * 2],
        [POOL_2, *[(256, 3, 1, 1)] * 3],
        [POOL_2, *[(512, 3, 1, 1)] * 3],
        [POOL_2, *[(512, 3, 1, 1)] * 3],
    ),
}
