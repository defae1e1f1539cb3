"""What algorithms share that work off tiles by a compiled driver, on threads of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkernels.cpu import drivers, operands, pool
from convkernels.cpu import instructions as processor
from convkernels.cpu.objects import Compiled
from convkernels.problem import Problem, Size
from convkernels.registry import Implementation
from convkernels.toolbox.stages import stage


class Tiled(Implementation):
    """An algorithm of the CPU; refuses strides and dilation.

    A driver takes (kernels, x, w, y, constants…, buffer, tasks): addresses of the kernels, of the
    image, of ``weights``, of the result and of scratch memory, and the (first, last) of its tasks.
    A subclass plans with ``begin`` and ``drive``; its ``load`` sets ``weights``.
    """

    STAGE = "tiles"
    gradients = False
    instructions: processor.Instructions | None = None  # None for this processor's
    weights: tuple[Any, ...]  # arrays

    @staticmethod
    def missing(namespace: str) -> str | None:
        return operands.missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return operands.refuses(problem, device)

    def begin(self, problem: Problem, xp: Any) -> processor.Instructions:
        """The plan's first step; returns what to compile for."""
        self.problem, self.planes = problem, operands.Planes(problem, xp)
        self.threads = pool.worth(self.cost(problem).flops)
        return self.instructions or processor.here()

    def drive(
        self,
        driver: tuple[str, str],
        kernels: Sequence[tuple[Compiled, str]],
        constants: Sequence[drivers.Whole],
        *,
        weights: int,
        tasks: int,
        buffer: int,
    ) -> None:
        """The plan's last step.

        Parameters
        ----------
        driver : its module and its name
        kernels : each in what it was compiled with, and its name, in the driver's order
        constants : what the driver takes between y and the buffer
        weights : arrays that ``load`` will set
        tasks : in all
        buffer : bytes of scratch memory that a task needs
        """
        addresses = tuple(code.addresses[name] for code, name in kernels)
        numbers = (addresses, 0, (0,) * weights, 0, *constants, 0, (0, 0))
        self._driver = drivers.driver(*driver, drivers.shape(numbers))
        self._kernels, self._constants = addresses, drivers.flat(constants)
        self.tasks, self.buffers = pool.Tasks(tasks, self.threads or 1), pool.Buffers(buffer)
        seconds = {id(code): code.seconds for code, _ in kernels}
        self.compile_seconds = self._driver.seconds + sum(seconds.values())

    def run(self, a: Any) -> Any:
        x, y = self.source(a), self.target()
        arrays = [operands.address(array) for array in (x, *self.weights, y)]
        numbers = (*self._kernels, *arrays, *self._constants)

        def work(tasks: Size) -> None:
            with self.buffers.one() as buffer:
                self._driver(*numbers, buffer, *tasks)

        with stage(self.STAGE):
            self.tasks.share(work)
        return self.finished(y)

    def source(self, a: Any) -> Any:
        """The array that the driver's x is the address of."""
        return self.planes.images(a)

    def target(self) -> Any:
        """The array that the driver's y is the address of."""
        return self.planes.outputs()

    def finished(self, y: Any) -> Any:
        """The result, from what the driver wrote."""
        return self.planes.result(y)
