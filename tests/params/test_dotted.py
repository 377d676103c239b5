from msdd.params.dotted import dotted, written


def test_values_are_written_as_a_params_file_does():
    nested = {"a": {"b": None, "c": [1, "é"]}, "d": True, "e": "word", "f": 1e-3, "g": {}}
    flat = {"a.b": "null", "a.c": '[1, "é"]', "d": "true", "e": "word", "f": "0.001", "g": "{}"}
    assert {key: written(value) for key, value in dotted(nested).items()} == flat
