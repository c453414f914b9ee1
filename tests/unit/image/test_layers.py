"""What an image is made of: layers and how they come together."""

import pytest

from image.build import HERE, recipe
from image.layers import Layer, RecipeFault, parse, read, resolve


def layer(name: str, **more: tuple[str, ...]) -> Layer:
    return Layer(name, "a test", **more)


def test_a_layer_comes_after_what_it_requires():
    layers = {
        "app": layer("app", requires=("network",)),
        "network": layer("network", requires=("zero",)),
        "zero": layer("zero"),
    }
    assert resolve(layers, "debian").layers == ("zero", "network", "app")


def test_packages_of_all_layers_are_together_and_once():
    layers = {"a": layer("a", packages=("sox", "dbus")), "b": layer("b", packages=("dbus",))}
    assert resolve(layers, "debian").packages == ("dbus", "sox")


def test_a_layer_of_another_flavour_is_left_out():
    layers = {"a": layer("a"), "b": layer("b", flavours=("rpios",))}
    assert resolve(layers, "debian").layers == ("a",)


def test_layers_that_require_each_other_are_a_fault():
    layers = {"a": layer("a", requires=("b",)), "b": layer("b", requires=("a",))}
    with pytest.raises(RecipeFault, match="a -> b -> a"):
        resolve(layers, "debian")


def test_a_required_layer_that_is_not_there_is_named():
    with pytest.raises(RecipeFault, match="app requires sound"):
        resolve({"app": layer("app", requires=("sound",))}, "debian")


def test_state_inside_other_state_is_a_fault():
    layers = {"a": layer("a", state=("/var/lib",)), "b": layer("b", state=("/var/lib/handset",))}
    with pytest.raises(RecipeFault, match="/var/lib/handset lies inside /var/lib"):
        resolve(layers, "debian")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"why": "x", "package": []}, "unknown keys package"),
        ({"packages": []}, "`why`"),
        ({"why": "x", "packages": "sox"}, "must be a list"),
        ({"why": "x", "state": ["var/lib"]}, "absolute path"),
        ({"why": "x", "state": ["/var/../etc"]}, "absolute path"),
        ({"why": "x", "flavours": ["arch"]}, "no such flavour"),
    ],
)
def test_a_faulty_layer_is_refused_with_its_reason(document, said):
    with pytest.raises(RecipeFault, match=said):
        parse("base", document)


def test_our_own_recipe_holds_for_both_flavours():
    layers = read(HERE / "layers")
    debian, rpios = resolve(layers, "debian"), resolve(layers, "rpios")
    assert "linux-image-arm64" in debian.packages
    assert "linux-image-rpi-2712" in rpios.packages
    assert set(debian.state) - set(rpios.state) == {"/var/lib/rauc"}


def test_what_the_service_writes_is_state():
    assert {"/opt/handset", "/etc/handset", "/etc/credstore", "/var/lib/handset"} <= set(
        recipe("debian").state
    )


def test_one_package_comes_from_a_later_suite_and_only_where_there_are_two_systems():
    assert recipe("debian").later == ("rauc-hawkbit-updater",)
    assert recipe("rpios").later == ()


def test_only_the_vendors_flavour_needs_an_archive_beside_debians_and_has_one_system():
    debian, rpios = recipe("debian"), recipe("rpios")
    assert (debian.archives, debian.two_systems) == ((), True)
    assert (rpios.archives, rpios.two_systems) == (("HANDSET_RPIOS_SOURCES",), False)
    assert not {"rauc", "rauc-service", "libubootenv-tool", "u-boot-rpi"} & set(rpios.packages)
