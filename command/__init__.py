"""Fast R-CNN's operators with one exact meaning, the suite that holds implementations to it, and the paper again."""

__version__ = "0.1.0"
