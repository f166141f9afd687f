"""What is made of the table of tenants' limits."""

import pytest
from attrs import fields

from cli.commands.tenancy import tenants
from orchestrator.codec import structure
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, origins
from orchestrator.config.tenant_limits import LIMITS, SpendingLimits, TenantLimit, TenantLimits, Tier
from orchestrator.errors import InvalidBody
from orchestrator.models.operations.tenant import TenantSettings
from orchestrator.schemas import Schemas

SECRET = {"ORCH_JWT__SECRET": "x" * 32}


def test_every_limit_is_a_field_of_one_section() -> None:
    names = [each.name for section in (TenantLimits, SpendingLimits) for each in fields(section)]
    assert names == list(LIMITS)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", LIMITS.values(), ids=lambda row: row.name)
def test_a_limit_is_configured_within_its_bounds(row: TenantLimit) -> None:
    for figure in (row.least, row.most, None):
        assert getattr(structure({row.name: figure}, TenantSettings), row.name) == figure
    for wrong in (0, row.most + 1, "many", True):
        with pytest.raises(InvalidBody) as caught:
            structure({row.name: wrong}, TenantSettings)
        assert caught.value.details is not None
        assert caught.value.details[0].path == f"$.{row.name}"


@pytest.mark.parametrize("row", LIMITS.values(), ids=lambda row: row.name)
def test_a_limit_is_described_with_its_bounds(row: TenantLimit) -> None:
    schemas = Schemas()
    schemas.of(TenantSettings, closed=True)
    described = schemas.components["TenantSettings"]["properties"][row.name]
    assert described["description"] == f"{row.says}; null: {row.otherwise}."
    assert (described["anyOf"][0]["minimum"], described["anyOf"][0]["maximum"]) == (row.least, row.most)


def test_what_is_left_out_of_the_settings_of_a_tenant_is_no_limit() -> None:
    assert [each.name for each in fields(TenantSettings) if each.name in LIMITS] == list(LIMITS)
    assert "default" not in str(Schemas().of(TenantSettings))


def test_the_command_line_knows_every_limit_by_its_name() -> None:
    assert list(tenants.settings_of_tenants()) == [each.name for each in fields(TenantSettings)]
    assert set(LIMITS) < set(tenants.settings_of_tenants())


@pytest.mark.parametrize("row", [row for row in LIMITS.values() if row.by_tier is not None], ids=lambda row: row.name)
def test_a_limit_with_defaults_by_tier_is_a_setting_of_each_tier(row: TenantLimit) -> None:
    known = {origin.path: origin for origin in origins(DEFAULTS, DEFAULTS, {})}
    for tier in Tier:
        origin = known[f"tiers.{tier}.{row.name}"]
        assert origin.default == getattr(row.by_tier, tier)
        assert type(origin.default) is row.number
        assert origin.says.startswith(row.says)
        variable = f"ORCH_TIERS__{tier.upper()}__{row.name.upper()}"
        settings = load_settings(DEFAULTS, {**SECRET, variable: "7"})
        assert getattr(getattr(settings.tiers, tier), row.name) == 7
        with pytest.raises(SettingsFault, match=variable):
            load_settings(DEFAULTS, {**SECRET, variable: "-1"})


@pytest.mark.parametrize("row", [row for row in LIMITS.values() if row.setting is not None], ids=lambda row: row.name)
def test_a_limit_with_a_setting_of_the_service_has_its_default(row: TenantLimit) -> None:
    known = {origin.path: origin for origin in origins(DEFAULTS, DEFAULTS, {})}
    assert row.setting is not None
    assert known[row.setting].default == row.default
    with pytest.raises(SettingsFault):
        load_settings(DEFAULTS, {**SECRET, f"ORCH_{row.setting.upper()}": "0"})
