"""The parameters of an experiment: one validated model of `params.yaml` for everyone who reads it.

A params file is complete: a key that is missing is an error, so the file alone says what was run.
Only rows (`models`, `students`, `decodes`) are short: they name what they override.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from msdd.errors import MsddError, known_names
from msdd.params.sections import (
    Amount,
    Count,
    Data,
    Distil,
    Evaluate,
    Model,
    PerScale,
    RowName,
    Section,
    Stage1,
    Steps,
    Throughput,
)


def _drop_defaults(schema: dict[str, Any]) -> None:
    for entry in schema["properties"].values():
        entry.pop("default", None)


def _overrides(section: type[Section], **more: Any) -> Any:
    """The same keys as `section`, none of them required; what was set is `model_fields_set`."""
    optional = {
        name: (
            Annotated[field.annotation, *field.metadata, Field(description=field.description)],
            None,
        )
        for name, field in section.model_fields.items()
    }
    made = create_model(f"{section.__name__}Overrides", __base__=Section, **optional, **more)
    made.model_config["json_schema_extra"] = _drop_defaults
    made.__doc__ = f"What a row changes of `{section.__name__.lower()}`."
    made.model_rebuild(force=True)
    return made


ModelOverrides = _overrides(Model)
Stage1Overrides = _overrides(Stage1)
# The class's own name, by which pickle finds it, and the one that says what it is.
Student = DistilOverrides = _overrides(
    Distil,
    model=(str, Field(description="row of `models` that is distilled")),
    start=(
        str | None,
        Field(None, description="mode finetune only: row of `students` to start from"),
    ),
)


class ModelRow(Section):
    """A model trained in stage 1: what it changes of `model` and of `stage1`."""

    model: ModelOverrides = Field(ModelOverrides(), description="overrides of `model`")
    stage1: Stage1Overrides = Field(Stage1Overrides(), description="overrides of `stage1`")


class Decode(Section):
    """One way to decode: a row of the tables."""

    of: str | None = Field(None, description="row of `models` or `students`")
    tokenizer: str | None = Field(
        None,
        description="in place of `of`, what was trained elsewhere: a system of `msdd tokenizers`, "
        "a model folder, a folder of diffusers, hf://owner/repository, mlflow:/run/artifact, or "
        "file.py:object (docs/params.md)",
        min_length=1,
    )
    checkpoint: str | None = Field(
        None,
        description="of a system: its file, a folder, or hf://owner/repository/file; left out: "
        "what `msdd tokenizers` finds here",
        min_length=1,
    )
    steps: Steps | None = Field(
        None,
        description="not of students: Euler steps over all scales, or a list with one number per "
        "scale",
    )
    guidance: PerScale | None = Field(
        None,
        description="not of students: one number, or a list with one per scale; 1 is no guidance",
    )
    jump: Literal["white", "paper_code"] = Field(
        "white",
        description="in-block correlation of the noise added between scales: white is -1/3, "
        "paper_code +1/3",
    )
    noise: Literal["drawn", "zero"] | None = Field(
        None,
        description="drawn, or zero: none, which leaves a function of the latents alone; left out: "
        "as in training",
    )


class Ablation(Section):
    """One comparison of two decodes on the same images: a row of the ablation table."""

    question: str = Field(description="what is compared, and why theory expects that direction")
    of: str = Field(description="row of `decodes`")
    against: str = Field(description="row of `decodes`, mean-colour or bicubic")
    expect: Literal["better", "worse", "equal"] | None = Field(
        description="whether theory expects `of` to be better than `against`, worse or equal; "
        "null: it predicts nothing"
    )


class Params(Section):
    """Everything that decides the bits of a result."""

    seed: Amount = Field(description="the one seed of data order, initial weights and noise")
    cpu_threads: Count = Field(
        description="threads of every job on a CPU; changes the last bits of results"
    )
    prepare_jobs: Count = Field(
        description="jobs that prepare photographs to train on, each its part of the shards, which "
        "the stage `prepare` gathers; 1: `prepare` does all. Changes no bit of what is prepared"
    )
    data: Data
    model: Model = Field(description="defaults of every row of `models`")
    stage1: Stage1 = Field(description="defaults of every row of `models`")
    distil: Distil = Field(description="defaults of every row of `students`")
    models: dict[RowName, ModelRow] = Field(
        description="rows: the models that are trained in stage 1", min_length=1
    )
    students: dict[RowName, Student] = Field(description="rows: the students that are distilled")
    decodes: dict[RowName, Decode] = Field(description="rows: the decodes that are evaluated")
    ablations: dict[RowName, Ablation] = Field(
        description="rows: the comparisons of the ablation table"
    )
    evaluate: Evaluate
    throughput: Throughput

    def model_of(self, row: str) -> Model:
        """The networks of a row of `models`."""
        return _merge(self.model, _row("models", self.models, row).model)

    def stage1_of(self, row: str) -> Stage1:
        """The first training of a row of `models`."""
        return _merge(self.stage1, _row("models", self.models, row).stage1)

    def latents_of(self, row: str) -> str | None:
        """The name of what another tokenizer encodes for a row of `models`; None without one."""
        given = self.stage1_of(row).encoder
        return given.latents if given else None

    def encoding(self) -> dict[str, str]:
        """The first row of `models` that decodes them, by the name of stored latents."""
        first: dict[str, str] = {}
        for row in self.models:
            if name := self.latents_of(row):
                first.setdefault(name, row)
        return first

    def row_of(self, latents: str) -> str:
        """The first row of `models` that decodes the stored latents of this name."""
        if latents not in (rows := self.encoding()):
            known = known_names(latents, rows) if rows else "no row of models has any stored"
            raise MsddError(f"no stored latents '{latents}'; {known}")
        return rows[latents]

    def distil_of(self, student: str) -> Distil:
        """The distillation of a row of `students`."""
        return _merge(self.distil, _row("students", self.students, student))

    def model_row(self, student: str) -> str:
        """The row of `models` that a row of `students` is distilled from."""
        return _row("students", self.students, student).model

    def source(self, decode: str) -> tuple[str | None, str | None]:
        """The row of `models` and, if one decodes, the row of `students` behind a decode; two
        times None for one that was trained elsewhere."""
        of = _row("decodes", self.decodes, decode).of
        return (self.model_row(of), of) if of in self.students else (of, None)

    def trained_here(self) -> list[str]:
        """The rows of `decodes` that decode by a row of `models` or `students`."""
        return [name for name, decode in self.decodes.items() if decode.of]

    def trained_elsewhere(self) -> list[str]:
        """The rows of `decodes` that name a tokenizer."""
        return [name for name, decode in self.decodes.items() if not decode.of]

    def timed(self) -> tuple[str, ...]:
        """What is timed: rows of `decodes`, and names of other systems."""
        systems = self.throughput.systems
        return tuple(self.decodes) if systems == "all" else systems

    def raw(self) -> dict[str, Any]:
        """What the file says, as plain values: rows hold only what they override."""
        return self.model_dump(mode="json", exclude_unset=True)


def _row(table: str, rows: dict[str, Any], name: str) -> Any:
    if name not in rows:
        raise MsddError(f"{table} has no row '{name}'; {known_names(name, rows)}")
    return rows[name]


def _merge(defaults: Section, overrides: Section) -> Any:
    keys = overrides.model_fields_set & type(defaults).model_fields.keys()
    return defaults.model_copy(update={key: getattr(overrides, key) for key in keys})
