"""The images behind a run as MLflow's datasets."""

import json
from pathlib import PurePath

DIGEST = 36  # characters of a digest that MLflow takes


def inputs(record: dict) -> list:
    """MLflow's inputs of a run: a dataset for each manifest of images that its stage reads."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    use = "training" if record["tags"].get("group") == "training" else "evaluation"
    manifests = {
        path: digest
        for path, digest in record.get("inputs", {}).items()
        if PurePath(path).name == "manifest.json"
    }
    return [
        DatasetInput(
            Dataset(
                name=str(PurePath(path).parent),
                digest=digest[:DIGEST],
                source_type="local",
                source=json.dumps({"uri": path}),
            ),
            [InputTag("mlflow.data.context", use)],
        )
        for path, digest in manifests.items()
    ]
