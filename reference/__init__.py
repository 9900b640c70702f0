"""The spec, executable: one operator a file, plain NumPy, the names of the spec's pages.

This package imports NumPy and nothing else. Where it and `spec/` part, the spec wins.
"""

from frcnn.reference.roi_pool import pool_windows, project_rois, roi_pool, roi_pool_backward

__all__ = ["pool_windows", "project_rois", "roi_pool", "roi_pool_backward"]
