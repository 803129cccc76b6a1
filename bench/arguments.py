# SPDX-License-Identifier: Apache-2.0
"""Numbers on the command lines of the programs here: those of Python may be negative, infinite or
not a number."""
import argparse
import math


def whole(text, least=1):
    """A whole number in least..2^20."""
    most = 1 << 20
    digits = text.isascii() and text.isdigit() and len(text) < 10
    if not (digits and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(
            f"must be a whole number in {least}..{most}, found {text[:30]!r}")
    return int(text)


def positive(text):
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, found {text[:30]!r}")
    return number
