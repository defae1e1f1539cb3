"""The tool chain of compiled CPU kernels: vector code, kept on disk, threads. No algorithm."""
