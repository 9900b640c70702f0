"""frcnn on TensorFlow."""
