"""Conformance on a folder of recorded exchanges: `python -m tests.conformance FOLDER [PROVIDER] [-v]`."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.conformance.exchange import corpus
from tests.conformance.run import Tally, run

parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
parser.add_argument("folder", type=Path, help="a folder of .jsonl files, one exchange a line")
parser.add_argument("provider", nargs="?", default="", help='only this one: "groq.chat" or "groq"')
parser.add_argument("-v", "--verbose", action="store_true", help="name each exchange that did not apply, too")
wanted = parser.parse_args()
if not wanted.folder.is_dir():
    sys.exit(f"{wanted.folder}: no such folder")
tally = asyncio.run(run(corpus(wanted.folder, wanted.provider), Tally()))
tally.report(verbose=wanted.verbose)
sys.exit(1 if tally.unexpected else 0)
