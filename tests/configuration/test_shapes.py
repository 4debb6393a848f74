"""A YAML of the wrong encoding or shape is refused by its file and key."""

import pytest

from cgrec.configuration.settings import composed

CHAIN = "# @package _global_\ndefaults:\n  - /experiment/gaussian_chain\n  - _self_\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "variables: {ends: {...}}\n",
            r"own\.yaml: variables\.ends: expected a list, found .*name the sites",
        ),
        ("levels: [1, 2]\n", r"own\.yaml: levels: expected a table, found \[1, 2\]"),
        ("basins: [1]\n", r"own\.yaml: basins: expected a table, found \[1\]"),
        ("levels: {l1: {mapping: [a]}}\n", r"own\.yaml: levels\.l1\.mapping: expected a table"),
    ],
)
def test_a_list_in_the_place_of_a_table_is_named(tmp_path, text, told):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(CHAIN + text)
    with pytest.raises(ValueError, match=told):
        composed(["experiment=own"], str(tmp_path))


def test_another_encoding_is_named_with_its_file(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "other.yaml").write_bytes(b"# \xfc\n")
    (tmp_path / "experiment" / "own.yaml").write_bytes(
        CHAIN.encode() + "name: M\xfcller\n".encode("latin-1")
    )
    with pytest.raises(
        ValueError,
        match=r"own\.yaml, line 5: expected text in UTF-8, found the byte 0xfc.*save the file as "
        r"UTF-8",
    ):
        composed(["experiment=own"], str(tmp_path))


def test_a_choice_that_overrides_nothing_is_told_how_to_be_written(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /source: file\n"
    (tmp_path / "experiment" / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"source: .*write '- /source: NAME', without override"):
        composed(["experiment=own"], str(tmp_path))
