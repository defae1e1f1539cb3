"""Products of spectra: the convolution theorem."""
