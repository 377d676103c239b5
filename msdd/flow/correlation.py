"""In-block correlation of the noise between scales, by the name of the jump (see `msdd.flow.jump`).

`white` makes the sum white; `paper_code` is that of the authors' released code, which leaves
neighbours correlated by 1/2.
"""

CORRELATIONS = {"white": -1 / 3, "paper_code": 1 / 3}
