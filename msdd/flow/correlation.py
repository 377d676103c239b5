"""Correlation inside 2x2 blocks of the noise added between scales, by the name of the jump.

`white` makes the sum white (`msdd.flow.jump`). `paper_code` is what the authors' released code has;
it leaves neighbours correlated by 1/2. A module of its own, so that tables need no torch.
"""

CORRELATIONS = {"white": -1 / 3, "paper_code": 1 / 3}
