"""The CPU threads that contenders may use: one number, pinned for every library."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from convkernels.toolbox import threads
from convkernels.toolbox.threads import usable as usable


@contextlib.contextmanager
def pinned(count: int) -> Iterator[None]:
    """Give torch, the BLAS libraries, scipy.fft and OpenCV this many threads each.

    Only libraries that are loaded are touched: the block must follow their import.
    """
    import scipy.fft
    import threadpoolctl

    with contextlib.ExitStack() as stack:
        stack.enter_context(threads.limited(count))
        stack.enter_context(threadpoolctl.threadpool_limits(limits=count))
        stack.enter_context(scipy.fft.set_workers(count))
        for name, get, put in (
            ("torch", "get_num_threads", "set_num_threads"),
            ("cv2", "getNumThreads", "setNumThreads"),
        ):
            module = sys.modules.get(name)
            if module is not None:
                stack.callback(getattr(module, put), getattr(module, get)())
                getattr(module, put)(count)
        yield
