"""The command line: its commands, its exit codes, and one clear line for what is wrong."""

from __future__ import annotations

import os
import sys

import typer

from convcross.cli import advice, imports, machine, results, run
from convcross.cli.output import written
from convcross.errors import BadInput
from convcross.text import one_line

app = typer.Typer(
    help="Which convolution algorithm wins at this image size and this kernel size, "
    "and where FFT overtakes the direct sum.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("list")(machine.list_)
for _command in (
    machine.check,
    run.run,
    run.repeatability,
    results.crossover,
    results.claims,
    results.report,
    results.compare,
    advice.calibrate,
    advice.advise,
    machine.demo,
    machine.doctor,
    machine.floor,
):
    app.command()(_command)
app.command("import")(imports.import_)
app.command("import-layers")(imports.import_layers)


def main() -> None:
    """Run the command line: 0 done, 1 a contender failed, 2 bad input, 130 interrupted."""
    sys.exit(_main())


def _main() -> int:
    from convkernels.registry import DuplicateAlgorithm

    os.environ["MPLBACKEND"] = "agg"  # a notebook's, inherited, may be unknown here
    try:
        with written():
            _require_folder()
            code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        if error.filename is None:
            raise
        print(f"convcross: {one_line(f'{error.filename}: {error.strerror}')}", file=sys.stderr)
        return 2
    except Exception as error:
        # A usage error is of Click's class, which some versions of Typer vendor.
        usage = getattr(error, "format_message", None)
        if usage is None and not isinstance(error, (BadInput, DuplicateAlgorithm)):
            raise
        complaint = usage() if usage is not None else str(error)
        if complaint.startswith("No such command"):
            commands = (info.name or info.callback for info in app.registered_commands)
            names = (getattr(command, "__name__", command) for command in commands)
            complaint += f" Allowed: {', '.join(map(str, names))}"
        print(f"convcross: {one_line(complaint)}", file=sys.stderr)
        return 2
    return code or 0


def _require_folder() -> None:
    """Raises BadInput where the working directory is gone: no relative path leads anywhere."""
    try:
        os.getcwd()
    except OSError as error:
        raise BadInput(
            f"the working directory: {error.strerror}; allowed: one that exists"
        ) from None
