"""CUDA C++ sources of this project, and the ways to compile, launch and emulate them."""
