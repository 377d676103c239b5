"""What MLflow takes in one call: metrics, params and tags of a run."""

from collections.abc import Iterator
from dataclasses import dataclass, field

# MLflow's limits for a call (3.17.2, `mlflow.utils.validation`); it shortens long values itself.
PARAMS, TAGS, ALL = 100, 100, 1000


@dataclass
class Batch:
    """Metrics `(name, value, time, step)`, params and tags, sent in as few calls as possible."""

    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, event: dict) -> None:
        """Add the metrics and tags of an event."""
        numbers = event.get("metrics", {}).items()
        self.metrics += [(name, value, event["time"], event["step"]) for name, value in numbers]
        self.tags |= event.get("tags", {})

    def send(self, client, run: str) -> None:
        from mlflow.entities import Metric, Param, RunTag

        for metrics, params, tags in self._calls():
            client.log_batch(
                run,
                metrics=[Metric(*one) for one in metrics],
                params=[Param(*one) for one in params],
                tags=[RunTag(*one) for one in tags],
            )

    def _calls(self) -> Iterator[tuple[list, list, list]]:
        params, tags = list(self.params.items()), list(self.tags.items())
        room = ALL - PARAMS - TAGS
        parts = (chunks(self.metrics, room), chunks(params, PARAMS), chunks(tags, TAGS))
        while any(call := tuple(next(part, []) for part in parts)):
            yield call


def chunks(items: list, size: int) -> Iterator[list]:
    return (items[start : start + size] for start in range(0, len(items), size))
