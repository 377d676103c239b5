"""bf16 on a CPU computes, or says in one line that it cannot; it never ends the process."""

import subprocess
import sys

TRIAL = """
import torch
from msdd.device import arithmetic
from msdd.errors import MsddError
try:
    with arithmetic("bf16", torch.device("cpu")):
        print((torch.ones(64, 64) @ torch.ones(64, 64)).sum().item())
except MsddError as error:
    print(error)
"""


def test_bf16_computes_or_says_that_it_cannot():
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.strip() == str(64.0**3) or done.stdout.startswith("precision bf16: ")
