"""Encoder and the denoisers of all scales become one student."""

from pathlib import Path

from safetensors.torch import load_file

from msdd import layout
from msdd.model import store
from msdd.params import Params


def run(params: Params, student: str, root: Path = Path(".")) -> dict[str, int]:
    """Write `runs/<model>/<student>` from the teacher's encoder and the student's scales."""
    model = params.model_row(student)
    _, config = store.read_config(root / layout.stage1(model))
    teacher = load_file(root / layout.stage1(model) / "model.safetensors")
    state = {name: value for name, value in teacher.items() if name.startswith("encoder.")}
    for k in range(config.scales):
        decoder = load_file(root / layout.scale(model, student, k) / "model.safetensors")
        state |= {f"decoders.{k}.{name}": value for name, value in decoder.items()}
    store.save(root / layout.assembled(model, student), "student", config, state)
    return {"scales": config.scales}
