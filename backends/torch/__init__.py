"""frcnn on PyTorch."""
