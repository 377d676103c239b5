"""What is said of photographs before anything runs."""

import pytest

from msdd.pipeline.jobs import missing


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("photos", "there is no folder photos;"),
        ("a.tar", "there is no archive a.tar;"),
        ("a-{0..2}.tar", "there is no archive a-{0..2}.tar;"),
        ("*.parquet", "there is no archive *.parquet;"),
    ],
)
def test_photographs_that_are_not_there_yet_are_told(tiny_params, tmp_path, value, told):
    data = tiny_params.data.model_copy(update={"photographs": value})
    params = tiny_params.model_copy(update={"data": data})
    (line,) = missing(params, tmp_path)
    assert told in line
    for name in ("a.tar", "a-0.tar", "a-1.tar", "a-2.tar", "b.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "photos").mkdir()
    assert missing(params, tmp_path) == []
