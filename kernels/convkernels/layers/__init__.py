"""Layers of networks by FFT: spectra that forward, grad_input and grad_weight share."""
