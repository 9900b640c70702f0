import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # archive_server


@pytest.fixture
def server(monkeypatch):
    """A server on this machine, without the pauses and in the small pieces that suit one."""
    from archive_server import Server

    from frcnn.repro import download

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(download, "PIECE", 1000)
    running = Server()
    yield running
    running.stop()
