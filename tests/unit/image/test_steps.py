"""Steps of a build: done once for the same input, never half."""

from pathlib import Path

import pytest

from image.steps import Step, digest, keys, run


def steps(calls: list[str], *, base: str = "1", top: str = "1") -> list[Step]:
    def make(name: str):
        def work(folder: Path, results) -> None:
            calls.append(name)
            (folder / name).write_text(name)

        return work

    return [
        Step("base", "base", (base,), (), make("base")),
        Step("top", "top", (top,), ("base",), make("top")),
    ]


def built(folder: Path, calls: list[str], **more) -> list[str]:
    said: list[str] = []
    run(steps(calls, **more), folder, said.append, clock=lambda: 0.0)
    return said


def test_the_second_time_nothing_is_done(tmp_path):
    calls: list[str] = []
    built(tmp_path, calls)
    said = built(tmp_path, calls)
    assert calls == ["base", "top"]
    assert said[0] == "[1/2 0:00] base: kept from before"


def test_what_stands_on_a_changed_step_is_done_again(tmp_path):
    calls: list[str] = []
    built(tmp_path, calls)
    built(tmp_path, calls, base="2")
    assert calls == ["base", "top", "base", "top"]


def test_what_it_stands_on_is_kept_when_only_the_top_changes(tmp_path):
    calls: list[str] = []
    built(tmp_path, calls)
    built(tmp_path, calls, top="2")
    assert calls == ["base", "top", "top"]


def test_a_step_that_breaks_off_leaves_no_result(tmp_path):
    def breaks(folder: Path, results) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no space")

    broken = [Step("base", "base", (), (), breaks)]
    with pytest.raises(RuntimeError):
        run(broken, tmp_path, lambda _: None)
    assert not (tmp_path / f"base-{keys(broken)['base']}").exists()


def test_of_older_results_one_is_kept(tmp_path):
    calls: list[str] = []
    for number in range(4):
        built(tmp_path, calls, base=str(number))
    assert len(list(tmp_path.glob("base-*"))) == 2


def test_material_cannot_be_shifted_from_one_text_to_the_next():
    def key(*material: str) -> str:
        return keys([Step("a", "a", material, (), lambda *_: None)])["a"]

    assert key("ab", "c") != key("a", "bc")


def test_a_files_mode_counts_its_time_does_not(tmp_path):
    path = tmp_path / "hook"
    path.write_text("x")
    path.chmod(0o644)
    first = digest([tmp_path], tmp_path)
    path.touch()
    assert digest([tmp_path], tmp_path) == first
    path.chmod(0o755)
    assert digest([tmp_path], tmp_path) != first
