"""The command line: one file a command, its flags beside its body. Thin."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

from hrem_lib import __version__
from hrem_lib.cli import (
    ablate,
    doctor,
    evaluate,
    extract,
    import_released,
    index,
    push,
    results,
    samples,
    search,
    train,
)
from hrem_lib.cli.arguments import joined, stray
from hrem_lib.errors import UserError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One sentence, as for every other fault of the user's, instead of the usage."""
        raise UserError(f"{message} ({self.prog} --help shows what there is)")


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    top = _Parser("hrem", description="HREM (CVPR 2023): image-text matching, from training to retrieval.")
    top.add_argument("--version", action="version", version=f"hrem {__version__}", help="show the version and end")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command", help="hrem COMMAND --help shows its options")  # fmt: skip # noqa: E501
    for module in (train, evaluate, ablate, import_released, extract, index, search, push, results, samples, doctor):
        module.add(commands)
    for command in commands.choices.values():
        command.set_defaults(options=[name for name in command._option_string_actions if name.startswith("--")])
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one sentence on standard error if the input was bad.

    1 if training stopped for a value that is not finite, or the reader of the output went away.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    # `next`: what to type after Ctrl-C; a command may say better
    args = argparse.Namespace(words=argv, next=shlex.join(["hrem", *argv]))
    try:
        args, extra = parser().parse_known_args(joined(argv) if argv[:1] == ["train"] else argv, args)
        if args.command == "search" and args.text is None and extra and not extra[0].startswith("-"):
            args.text = extra.pop(0)  # argparse takes no optional word behind options
        if extra and args.command != "train":
            raise stray(args, extra)
        return args.run_command(args, extra) or 0
    except BrokenPipeError:  # e.g. `hrem ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UserError, OSError, FloatingPointError) as error:
        if int(os.environ.get("LOCAL_RANK", 0)):
            time.sleep(5)  # process 0 says the same, and its end ends the others
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"  # as the other sentences, without Python's [Errno 17]
        print("hrem:", " ".join(text.split()), file=sys.stderr)  # one line, whatever a file name holds
        return 1 if isinstance(error, FloatingPointError) else 2
    except (MemoryError, RuntimeError) as error:
        signs = ("out of memory", "allocate memory", "not enough memory")
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in signs):
            raise
        first = (str(error).splitlines() or ["out of memory"])[0]
        print(f"hrem: {first}; a smaller training.batch_size or model needs less", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not int(os.environ.get("LOCAL_RANK", 0)):
            print(f"hrem: interrupted; next: {args.next}", file=sys.stderr)
        return 130
