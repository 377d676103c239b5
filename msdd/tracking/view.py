"""The comparison in MLflow's page: which runs, columns and charts, behind a link that stays.

The page keeps a view that somebody shares as a tag of the experiment, `mlflow.sharedViewState.KEY`,
and opens it by `viewStateShareKey=KEY`; the tag holds JSON, or `deflate;` and its zlib stream in
base64 (MLflow 3.17.2, the page's own script). The view is written again when a figure is new.
All parameters under each picture would push the next one off the screen (`showRunParams`).
"""

import base64
import json
import zlib
from collections.abc import Iterable
from urllib.parse import urlencode

KEY = "msdd-comparison"
TAG = f"mlflow.sharedViewState.{KEY}"
KIND = ("mlflow.experimentKind", "custom_model_development")  # no page of chats and prompts
FIRST = ("psnr", "ssim", "lpips_alex", "lpips_vgg", "fd_efficientnet_lite0")  # stand in this order
LAST = ("images_per_second", "gflop_per_image", "nfe")
MOST = 2**24  # bytes of a view: whoever may write tags could make one of any size
PAGE = 20  # runs in charts, the best ones


def keep(client, experiment: str, figures: Iterable[str]) -> None:
    """Write the view into the experiment unless it shows these figures already."""
    tags = client.get_experiment(experiment).tags
    known = shown(tags[TAG]) if TAG in tags else []
    wanted = ordered({*known, *figures})
    if wanted and (state := packed(comparison(wanted))) != tags.get(TAG):
        client.set_experiment_tag(experiment, TAG, state)
        client.set_experiment_tag(experiment, *KIND)


def ordered(figures: Iterable[str]) -> list[str]:
    """Quality, metrics of further protocols, speed and cost."""
    others = sorted({*figures} - {*FIRST, *LAST})
    return [name for name in (*FIRST, *others, *LAST) if name in figures]


def comparison(figures: list[str]) -> dict:
    """The state of the page: all decodes with these figures as columns and charts."""
    main = "psnr" if "psnr" in figures else figures[0]
    bars = [chart("BAR", "figures", name, metricKey=name) for name in figures]
    speed = [chart("SCATTER", "figures", "speed", xaxis=axis(LAST[0]), yaxis=axis(main))]
    pictures = [
        chart("IMAGE", "pictures", name, imageKeys=[name], step=0, showRunParams=False)
        for name in ("reconstructions", "worst-median-best", "coarse-to-fine")
    ]
    return {
        "searchFilter": "tags.`group` = 'comparison'",
        "orderByKey": f"metrics.`{main}`",
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in figures],
        "runsHiddenMode": f"FIRST_{PAGE}_RUNS",
        "compareRunSections": [
            section("figures", columns=3, cardHeight=360),
            section("pictures", columns=1, cardHeight=720),
        ],
        "compareRunCharts": [*bars, *(speed if LAST[0] in figures else []), *pictures],
    }


def section(name: str, **more: int) -> dict:
    return {"uuid": name, "name": name, "display": True, "isReordered": False, **more}


def chart(kind: str, section: str, name: str, **more: object) -> dict:
    return {
        "type": kind,
        "uuid": f"{kind}-{name}",
        "metricSectionId": section,
        "runsCountToCompare": PAGE,
        "deleted": False,
        "isGenerated": True,
        **more,
    }


def axis(name: str) -> dict:
    return {"key": name, "type": "METRIC"}


def packed(state: dict) -> str:
    text = json.dumps(state, ensure_ascii=False).encode()
    return f"deflate;{base64.b64encode(zlib.compress(text, 9)).decode()}"


def shown(tag: str) -> list[str]:
    """The figures of a view that `packed` has written; none of one that it has not."""
    try:
        stream = base64.b64decode(tag.removeprefix("deflate;"))
        state = json.loads(zlib.decompressobj().decompress(stream, MOST))
        names = [one["metricKey"] for one in state["compareRunCharts"] if "metricKey" in one]
        return [name for name in names if isinstance(name, str)]
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error):
        return []


def links(page: str, experiment: str) -> dict[str, str]:
    """Links into MLflow's page at an address: all decodes with their figures, and all trainings
    with their curves."""
    runs = f"{page.rstrip('/')}/#/experiments/{experiment}/runs"
    trainings = {
        "searchFilter": "tags.`group` = 'training'",
        "orderByKey": "metrics.`loss`",  # sorted by time, the page hides runs under their parents
        "orderByAsc": "true",
        "compareRunsMode": "CHART",
    }
    compared = {"viewStateShareKey": KEY, "compareRunsMode": "CHART"}
    return {
        "comparison": f"{runs}?{urlencode(compared)}",
        "table": f"{runs}?{urlencode({'viewStateShareKey': KEY})}",
        "trainings": f"{runs}?{urlencode(trainings)}",
    }
