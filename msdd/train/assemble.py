"""Encoder and the denoisers of all scales become one student."""

from pathlib import Path

from safetensors.torch import load_file

from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.pipeline.provenance import recorded
from msdd.pipeline.stages import task
from msdd.weights import model_folder


def run(params: Params, student: str, root: Path = Path(".")) -> dict[str, int]:
    """Write `runs/<model>/<student>` from the teacher's encoder and the student's scales."""
    model = params.model_row(student)
    source, folder = layout.stage1(model), layout.assembled(model, student)
    _, config = model_folder.read_config(root / source)
    scales = [layout.scale(model, student, k) for k in range(config.scales)]
    inputs = [part / file for part in (source, *scales) for file in layout.MODEL_FILES]
    made = [folder / file for file in layout.MODEL_FILES]
    with recorded(task("assemble", params, inputs, root, student=student), folder, made, root):
        teacher = load_file(root / source / "model.safetensors")
        state = {name: value for name, value in teacher.items() if name.startswith("encoder.")}
        for k, scale in enumerate(scales):
            decoder = load_file(root / scale / "model.safetensors")
            state |= {f"decoders.{k}.{name}": value for name, value in decoder.items()}
        model_folder.save(root / folder, "student", config, state)
    return {"scales": config.scales}
