"""The table of families and what is registered: names, defaults, and what is refused."""
import ast
import dataclasses
import re
import subprocess
import sys

import pytest
from import_graph import module_files

from edgenext_deploy import models
from edgenext_deploy.errors import UsageError
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig, SSDLiteConfig
from edgenext_deploy.models.listing import GROUPS
from edgenext_deploy.models.variants.families import FAMILIES, Family, family_of, register_family
from edgenext_deploy.models.variants.registry import GROUPS as REGISTERED_GROUPS
from edgenext_deploy.models.variants.registry import VARIANTS, Variant, get_variant, list_variants, register_variant

XXS = get_variant("xxs")


@dataclasses.dataclass(frozen=True)
class StrangeConfig:
    dims: tuple = (1,)


def ours():
    """Return the families of the table; importing the room of adoption adds one that has no networks of ours."""
    return {name: family for name, family in FAMILIES.items() if name != "adopted"}


def test_every_variant_belongs_to_one_family():
    assert list(ours()) == ["edgenext", "mobilevit", "mobilevitv2"]
    for variant in VARIANTS.values():
        assert FAMILIES[variant.family] is family_of(variant.config)


def test_a_config_of_no_family_is_an_error_by_name():
    for use in (lambda: family_of(StrangeConfig()), lambda: Variant("x", StrangeConfig()), lambda: family_of(None)):
        with pytest.raises(UsageError, match=r"StrangeConfig|NoneType.*EdgeNeXtConfig \(edgenext\)") as caught:
            use()
        assert "register_family" in caught.value.fix


@pytest.mark.parametrize("name, config, what", [
    ("edgenext", StrangeConfig, "name"), ("strange", EdgeNeXtConfig, "config EdgeNeXtConfig")])
def test_a_family_is_registered_once(name, config, what):
    with pytest.raises(UsageError, match=f"has the {what} of the registered family 'edgenext'"):
        register_family(Family(name, "Strange", config, "nowhere:Strange"))
    assert list(ours()) == ["edgenext", "mobilevit", "mobilevitv2"]


def test_a_variant_has_the_defaults_of_its_family():
    for name, mean, std, crop_pct in (("xxs", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875),
                                      ("mobilevit_s", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9),
                                      ("mobilevitv2_200", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.888)):
        mine = Variant("mine", get_variant(name).config)
        assert (mine.mean, mine.std, mine.crop_pct, mine.group) == (mean, std, crop_pct, "own")
    assert Variant("mine", XXS.config, (0.5,) * 3, (0.25,) * 3, 1.0).mean == (0.5,) * 3


@pytest.mark.parametrize("changes, message", [
    ({"name": "xxs"}, "a variant 'xxs' already"), ({"name": "../xxs"}, "cannot be the name"),
    ({"name": "a b"}, "cannot be the name"), ({"name": ""}, "cannot be the name"),
    ({"name": "mine", "group": "papers"}, "unknown group 'papers'; did you mean 'paper'")])
def test_what_cannot_be_registered(changes, message):
    with pytest.raises(UsageError, match=message):
        register_variant(dataclasses.replace(XXS, **changes))
    assert "mine" not in VARIANTS and VARIANTS["xxs"] is XXS


def test_every_group_has_its_table():
    assert list(REGISTERED_GROUPS) == GROUPS


def test_variants_are_listed_by_pattern_and_task():
    assert list_variants() == list(VARIANTS)
    assert list_variants("mobilevit_*", task="classification") == ["mobilevit_xxs", "mobilevit_xs", "mobilevit_s"]
    assert list_variants("x?") == ["xs"] and list_variants("resnet*") == []
    assert set(list_variants(task="detection")) == {
        name for name, variant in VARIANTS.items() if isinstance(variant.head, SSDLiteConfig)}
    with pytest.raises(UsageError, match="unknown task 'detector'; did you mean 'detection'"):
        list_variants(task="detector")


def test_the_face_and_the_tables_load_no_torch():
    code = ("import sys\nimport edgenext_deploy.models as models\n"
            "models.register_variant(models.Variant('mine', models.get_variant('xxs').config))\n"
            "print(models.list_variants('m?ne'), 'torch' in sys.modules)")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["['mine']", "False"]
    assert models.__all__ == sorted(models.__all__) and {"create_model", "register_variant"} <= set(dir(models))


def mentions(tree):
    """Yield what a module's code says: strings that are no docstrings, and the names that it imports."""
    docstrings = {id(node.body[0].value) for node in ast.walk(tree)
                  if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
                  and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_tables_and_a_familys_own_modules_name_it():
    words = "|".join(word for family in ours().values() for word in (
        rf"\b{family.name}$", rf"{family.config.__name__}$", rf"(definitions|lowering)\.{family.name}\b"))
    naming = {module for module, path in module_files().items() if ".benchmarks" not in module
              and any(re.search(words, said) for said in mentions(ast.parse(path.read_text(encoding="utf-8"))))}
    parts = {module for module in naming for name in ours() if f".export.lowering.{name}_" in module}
    assert {module for module in naming - parts if ".models.definitions." not in module} == {
        "edgenext_deploy.models.variants.families", "edgenext_deploy.models.variants.registry",
        *(f"edgenext_deploy.export.lowering.{name}" for name in ours())}
