"""Rows of params as the FLOP card counts them. Does not import torch."""

from msdd.model.config import ModelConfig
from msdd.params.schema import Params
from msdd.params.sections import Given, Model
from msdd.speed import card


def decodes_of(params: Params) -> list[str]:
    """The rows of `decodes` that are timed and were trained here."""
    here = set(params.trained_here())
    return [name for name in params.timed() if name in here]


def config_of(params: Params, model: str) -> ModelConfig:
    """The shape of the networks of a row of `models`."""
    given = params.stage1_of(model).encoder
    return config_with(params.data.resolution, params.model_of(model), given)


def config_with(resolution: int, networks: Model, given: Given | None) -> ModelConfig:
    """The shape of networks whose encoder may be given; another tokenizer's imports torch."""
    config = ModelConfig.of(resolution, networks.model_dump())
    if given is None or given.tokenizer is None:
        return config
    from msdd.speed import counted

    return counted.with_encoder(config, given.tokenizer)


def on_card(params: Params, name: str) -> card.Decoder:
    """A row of `decodes`, as the FLOP card counts it."""
    model, student = params.source(name)
    config, row = config_of(params, model), params.decodes[name]
    if student:
        return card.student(name, config)
    return card.teacher(name, config, row.steps, 1.0 if row.guidance is None else row.guidance)
