"""Failures of the command line: one sentence on stderr that says how to mend it, exit code 2, never a traceback.

`SIGNBIND_TRACEBACK=1` shows where an error came from; nothing else does.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

EXIT_FAILED = 2
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """A failure whose text is the sentence that the user reads."""


def run(command: Callable[[], object]) -> int:
    """Run the whole command line; returns the exit code."""
    try:
        return exit_code(command())
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (`head`, say) has enough; point stdout elsewhere so that exit stays quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Exit as request:
        return int(request.exit_code)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except Exception as error:  # the outermost frame: whatever it is, the user reads a sentence
        if os.environ.get("SIGNBIND_TRACEBACK"):
            traceback.print_exc()
        print(f"signbind: {sentence(error)}", file=sys.stderr)
        return EXIT_FAILED


def exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def sentence(error: BaseException) -> str:
    """The one sentence for any error, on one line."""
    if isinstance(error, typer.TyperException):
        return usage_sentence(error)
    if isinstance(error, ModuleNotFoundError):
        return one_line(missing_module_sentence(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        return one_line(f"{error.filename}: {error.strerror}; check the path and its permissions.")
    if isinstance(error, (CliError, ValueError, OSError, MemoryError)) and str(error):
        return one_line(str(error))
    reason = one_line(str(error)) or "no reason given"
    return f"{type(error).__name__}: {reason} (a fault of ours: set SIGNBIND_TRACEBACK=1 to see where, and report it)."


def usage_sentence(error: typer.TyperException) -> str:
    text = one_line(str(getattr(error, "format_message", lambda: error)())) or "Name one of its commands"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "signbind"
    return f"{text.rstrip('.')}; see `{path} --help`."


EXTRA_OF_MODULE = {
    "bitsandbytes": "gpu",
    "sacrebleu": "train",
    "jiwer": "train",
    "jinja2": "train",
    "rapidfuzz": "train",
    "simplemma": "train",
}


def missing_module_sentence(error: ModuleNotFoundError) -> str:
    name = (error.name or "a module").split(".")[0]
    if name in EXTRA_OF_MODULE:
        return f"This needs the package {name}: pip install 'signbind[{EXTRA_OF_MODULE[name]}]'."
    if name in ("app", "models"):
        return f"This installation has no {error.name}: reinstall SignBind (make setup) or take a newer version."
    return f"The package {name} is missing: run `make setup`, or pip install {name}."


def one_line(text: str) -> str:
    return " ".join(text.split())
