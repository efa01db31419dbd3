"""A mistake in a YAML file is reported with its line, its path and, where one is near, the right word."""

from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from solvus.drivers.laboratory import Laboratory, load_laboratory
from solvus.drivers.yaml_file import ConfigurationError, load_yaml

GOLD = Path(__file__).parents[2] / "configs/laboratories/gold.yaml"


class Axis(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["axis"] = "axis"
    lower: float
    upper: float
    unit: Literal["degC", "K"] = "degC"


class Choice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["choice"] = "choice"
    values: tuple[str, ...] = Field(min_length=2)


class Campaign(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    budget: int = Field(default=10, gt=0)
    search_space: dict[str, Axis] = {}
    extras: list[Axis | Choice] = []


def problems(tmp_path: Path, text: str, model: type[BaseModel] = Campaign) -> tuple[str, ...]:
    path = tmp_path / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_yaml(path, model)
    return caught.value.problems


def test_unknown_key_names_line_path_and_near_word(tmp_path: Path) -> None:
    text = "name: gold\nsearch_space:\n  temperature:\n    lower: 20\n    upper: 95\n    uper: 90\n"
    assert problems(tmp_path, text) == (
        "campaign.yaml line 6: search_space.temperature.uper: unknown key; did you mean 'upper'?",
    )


def test_every_problem_of_a_file_is_reported_in_order(tmp_path: Path) -> None:
    text = "name: gold\nbudget: -3\nsearch_space:\n  temperature:\n    lower: cold\n    unit: C\n"
    assert problems(tmp_path, text) == (
        "campaign.yaml line 2: budget: should be greater than 0, not -3",
        "campaign.yaml line 4: search_space.temperature.upper: is missing",
        "campaign.yaml line 5: search_space.temperature.lower: should be a valid number, unable to parse string "
        "as a number, not 'cold'",
        "campaign.yaml line 6: search_space.temperature.unit: should be 'degC' or 'K', not 'C'",
    )


def test_near_choice_is_suggested(tmp_path: Path) -> None:
    text = "name: gold\nsearch_space:\n  temperature: {lower: 1, upper: 2, unit: degc}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.endswith("not 'degc'; did you mean 'degC'?")


def test_union_members_inside_lists_are_located(tmp_path: Path) -> None:
    text = "name: gold\nextras:\n  - lower: 1\n    upper: 2\n  - kind: choice\n    valeus: [a, b]\n"
    found = problems(tmp_path, text)
    assert any("line 6: extras.1.valeus: unknown key; did you mean 'values'?" in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: gold\nbudget: [1, 2\n", "not valid YAML"),
        ("name: gold\nname: silver\n", "line 2: name: given twice"),
        ("- a\n- b\n", "needs keys and values"),
        ("", "needs keys and values"),
        ("name: gold\nother: !!python/object:os.system {}\n", "not valid YAML"),
    ],
)
def test_what_is_no_proper_yaml_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert said in problem
    assert problem.startswith("campaign.yaml")


def test_a_missing_or_binary_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.yaml: cannot be read \(No such file"):
        load_yaml(tmp_path / "none.yaml", Campaign)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        load_yaml(tmp_path / "binary.yaml", Campaign)


def test_aliases_and_merge_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(
        "name: gold\nsearch_space:\n  a: &a {lower: 1, upper: 2}\n  b: *a\n  c: {<<: *a, upper: 3}\n",
        encoding="utf-8",
    )
    read = load_yaml(path, Campaign)
    assert read.search_space["b"] == read.search_space["a"]
    assert read.search_space["c"].upper == 3


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_misspelt_key_anywhere_is_found_on_its_own_line(tmp_path: Path, data: st.DataObject) -> None:
    """Misspell one key of the shipped laboratory: the error names that line and the right word."""
    lines = GOLD.read_text(encoding="utf-8").splitlines()
    fixed = ("kind", "data_directory", "driver", "action", "standard", "qmin", "qmax", "wavelength", "qdamp")
    numbers = [i for i, line in enumerate(lines) if line.strip().split(":")[0] in fixed]
    number = data.draw(st.sampled_from(numbers))
    key = lines[number].strip().split(":")[0]
    place = data.draw(st.integers(0, len(key) - 1))
    wrong = key[:place] + key[place] + key[place:]
    lines[number] = lines[number].replace(key, wrong, 1)
    found = problems(tmp_path, "\n".join(lines), Laboratory)
    assert any(
        problem.startswith(f"campaign.yaml line {number + 1}: ")
        and problem.endswith(f"{wrong}: unknown key; did you mean {key!r}?")
        for problem in found
    )


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(alphabet=" \n:-[]{}&*!|>'\"#?,%@abc019._", max_size=60))
def test_no_text_brings_the_reader_down(tmp_path: Path, text: str) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        load_yaml(path, Campaign)


def test_the_shipped_laboratory_is_valid_and_survives_a_round_trip(tmp_path: Path) -> None:
    laboratory = load_laboratory(GOLD)
    assert [device.id for device in laboratory.devices] == ["robot", "diffractometer"]
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(laboratory.model_dump(mode="json")), encoding="utf-8")
    assert load_laboratory(path) == laboratory


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: diffractometer", "id: robot", "two are called 'robot'"),
        ("id: robot", "id: agent", "'agent' is reserved"),
        ("qmin: 0.8 ", "qmin: 25 ", "qmin: 25 must be below qmax"),
        ("kind: embedded", "kind: external", "needs its host name"),
        ("kind: embedded", "kind: embeded", "did you mean 'embedded'?"),
        ("kind: embedded", "host: mqtt.example.org", "belong to external"),
        ("name: gold-lab", "name: Gold Lab", "should match pattern"),
        (
            "action: measure",
            "action: measure\n    limits: {temperature: {lower: 5, upper: 2}}",
            "must be below upper",
        ),
    ],
)
def test_laboratories_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = GOLD.read_text(encoding="utf-8")
    assert old in text
    assert said in "\n".join(problems(tmp_path, text.replace(old, new, 1), Laboratory))
