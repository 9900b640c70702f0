import sys
from pathlib import Path

# What test_composition.py shares with its namesake in tf/, which runs in a process of its own.
sys.path.insert(0, str(Path(__file__).parent / "composition"))
