"""The variants of decoding, without torch: of those that were timed a decode counts by the last."""

# Those of other runtimes come first: qualities beside speeds are of images by torch.
RUNTIMES = ("onnxruntime-int8", "onnxruntime", "openvino-int8", "openvino-bf16", "openvino")
VARIANTS = (*RUNTIMES, "plain", "fast", "compiled")
