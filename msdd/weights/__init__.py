"""From files to tensors: pretrained networks, official checkpoints, model folders."""
