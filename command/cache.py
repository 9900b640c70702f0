"""Where things that can be made again are kept: compiled kernels, prepared maps."""

import os
from pathlib import Path


def folder(name: str) -> Path:
    """The folder for one kind of thing: under $FRCNN_CACHE_DIR, else the user's cache folder. It may not exist yet."""
    import platformdirs

    return Path(os.environ.get("FRCNN_CACHE_DIR") or platformdirs.user_cache_dir("frcnn")) / name
