"""What an operator can say cannot be changed, and can be mended by what the schema says of it."""

import pytest
from pydantic import ValidationError

from maestro_gateway.config.schema import Settings
from maestro_gateway.config.shape import at, field_at, leaves


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().default_model = "other/model"


def test_every_setting_says_what_it_is_and_how_it_may_look() -> None:
    for path, field in leaves(Settings):
        assert field.description, path
        assert field.examples or field.default == "", path


def test_the_schema_is_walked_by_path() -> None:
    assert at(Settings, ("listen", "drain", "grace")) is not None
    assert at(Settings, ("listen", "drain", "grace", "more")) is None
    assert at(Settings, ("keys", 3, "name")) is str
    assert at(Settings, ("keys", "three", "name")) is None
    assert field_at(Settings, ("providers", "anybody", "adapter")) is not None
    assert field_at(Settings, ("providers", "anybody", "adaptor")) is None
    assert field_at(Settings, ()) is None
