"""The CPU kernels, one C++17 header with no framework in it, and what compiles a binding of them."""
