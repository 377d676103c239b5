"""Runs as tests write them, and what MLflow has of them."""

from msdd.tracking.run import Run

PARAMS = {"seed": 0, "stage1": {"batch": 64, "betas": [0.9, 0.95], "loss_weight": "none"}}


def runs(client, **tags):
    experiment = client.get_experiment_by_name("msdd").experiment_id
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return client.search_runs([experiment], query)


def curve(client, run, name="loss"):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def train(root, steps, **options):
    with Run(root, "msdd", "stage1", PARAMS, **options) as run:
        for step in steps:
            run.log(step, {"loss": 1 / (1 + step)})
