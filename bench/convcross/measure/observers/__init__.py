"""What ran beside the times: kernels by name, and the stages of a run."""
