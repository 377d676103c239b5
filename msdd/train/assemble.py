"""Encoder and the denoisers of all scales become one student."""

from pathlib import Path

from msdd.pipeline import layout
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task
from msdd.weights import model_folder


def run(task: Task, root: Path = Path(".")) -> dict[str, int]:
    """Write `runs/<model>/<student>` from the teacher's encoder and the student's denoisers.

    Returns the number of scales. Raises MsddError if the teacher is missing.
    """
    model, student = task.model, task.student
    source, folder = layout.stage1(model), layout.assembled(model, student)
    _, config = model_folder.read_config(root / source)
    scales = [layout.scale(model, student, k) for k in range(config.scales)]
    made = [folder / file for file in layout.MODEL_FILES]
    with recorded(task, folder, made, root):
        teacher = model_folder.read(root / source)
        state = model_folder.of_encoder(teacher)
        for k, scale in enumerate(scales):
            decoder = model_folder.read(root / scale)
            state |= {f"decoders.{k}.{name}": value for name, value in decoder.items()}
        model_folder.save(root / folder, "student", config, state)
    return {"scales": config.scales}
