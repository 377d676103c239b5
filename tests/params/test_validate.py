"""Keys and values that have another name now are told in one line each, wherever they stand."""

import pytest
from pydantic import BaseModel, ConfigDict, Field

from msdd.errors import MsddError
from msdd.params.validate import RENAMED, validate


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Training(Table):
    """By the new names, as a row's overrides have them: none is required."""

    min_lr_ratio: float | None = None
    cond_drop_prob: float | None = None
    logit_mean: float | None = None


class Stage1(Training):
    min_lr_ratio: float
    cond_drop_prob: float
    logit_mean: float


class Row(Table):
    stage1: Training


class Throughput(Table):
    regions: list[str]
    variants: list[str]


class Evaluate(Table):
    images: int | None = Field(ge=1)


class Params(Table):
    stage1: Stage1
    models: dict[str, Row]
    evaluate: Evaluate
    throughput: Throughput


OLD = {
    "stage1": {"final_learning_rate": 0.1, "null_probability": 0.1, "time_mean": 0.0},
    "models": {"x": {"stage1": {"final_learning_rate": 0.2}}},
    "evaluate": {"images": 0},
    "throughput": {"boxes": ["decode"], "paths": ["plain"]},
}
NEW = {
    "stage1": {"min_lr_ratio": 0.1, "cond_drop_prob": 0.1, "logit_mean": 0.0},
    "models": {"x": {"stage1": {"min_lr_ratio": 0.2}}},
    "evaluate": {"images": None},
    "throughput": {"regions": ["decode"], "variants": ["plain"]},
}


def told(raw):
    with pytest.raises(MsddError) as caught:
        validate(Params, raw, "params.yaml")
    return sorted(str(caught.value).splitlines())


def test_old_names_are_told_with_the_new_ones_and_nothing_else():
    assert told(OLD) == [
        "params.yaml: evaluate.images 0 is now null: change the value",
        "params.yaml: models.x.stage1.final_learning_rate is now models.x.stage1.min_lr_ratio: "
        "rename the key",
        "params.yaml: stage1.final_learning_rate is now stage1.min_lr_ratio: rename the key",
        "params.yaml: stage1.null_probability is now stage1.cond_drop_prob: rename the key",
        "params.yaml: stage1.time_mean is now stage1.logit_mean: rename the key",
        "params.yaml: throughput.boxes is now throughput.regions: rename the key",
        "params.yaml: throughput.paths is now throughput.variants: rename the key",
    ]
    assert validate(Params, NEW, "params.yaml").model_dump(exclude_unset=True) == NEW


def test_an_old_name_beside_the_new_one_is_to_be_deleted():
    raw = NEW | {"stage1": NEW["stage1"] | {"time_mean": 0.0}}
    assert told(raw) == [
        "params.yaml: stage1.time_mean is now stage1.logit_mean: delete the old key, the new one "
        "is there"
    ]


def test_an_old_name_where_there_is_no_such_key_is_an_unknown_one():
    line = "params.yaml: evaluate.time_mean is an unknown key; allowed here: images"
    assert told(NEW | {"evaluate": {"images": 3, "time_mean": 0}}) == [line]


def test_no_new_name_is_an_old_one():
    assert not RENAMED.keys() & set(RENAMED.values())
