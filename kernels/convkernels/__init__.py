"""Convolution algorithms behind one door, each in one file of a room of this package.

``import convkernels`` loads no array library and no algorithm; both come when first asked for.
"""

from convkernels.convolve import convolve
from convkernels.problem import Problem, UnsupportedProblem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox.stages import stage

__all__ = ["Cost", "Problem", "UnsupportedProblem", "algorithm", "convolve", "stage"]
