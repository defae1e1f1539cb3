"""The tool chain of CUDA C++: kernels as data, compiled, launched and emulated. No algorithm."""
