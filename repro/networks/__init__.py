"""Networks as data: one .toml a network, the paper's names for layers."""
