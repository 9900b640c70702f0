import sys
from pathlib import Path

# What tests share with those in tf/, which run in a process of their own.
for folder in ("composition", "conformance"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
