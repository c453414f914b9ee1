"""What was measured is kept by the devices' names, and outlives damage and a full disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.audio.duplex import Choice, Duplex
from appliance.calibration import FILE, KEPT, Calibration, CalibrationFile
from appliance.errors import StoreUnavailable

MEASURED = Calibration(
    input="mic",
    output="speaker",
    measured_at=1_790_000_000.0,
    duplex="ducked",
    duck_db=4.0,
    reason="loud",
    noise_dbfs=-60.0,
    delay_ms=61.5,
    drift_ppm=-12.0,
    coupling_db=1.0,
    erle_db=31.0,
    onsets=0,
)


def test_what_is_kept_is_found_again_for_that_pair_of_devices_only(tmp_path: Path):
    kept = CalibrationFile(tmp_path)
    kept.keep(MEASURED)
    assert CalibrationFile(tmp_path).of("mic", "speaker") == MEASURED
    assert kept.of("mic", "another") is None
    assert MEASURED.choice == Choice(Duplex.DUCKED, 4.0, "loud")


def test_a_new_measurement_takes_the_place_of_the_old_one(tmp_path: Path):
    kept = CalibrationFile(tmp_path / "made" / "anew")
    kept.keep(MEASURED)
    kept.keep(replace(MEASURED, delay_ms=None, erle_db=None))
    assert kept.of("mic", "speaker") == replace(MEASURED, delay_ms=None, erle_db=None)


def test_the_oldest_of_too_many_pairs_goes(tmp_path: Path):
    kept = CalibrationFile(tmp_path)
    for number in range(KEPT + 1):
        kept.keep(replace(MEASURED, input=f"mic {number}", measured_at=float(number)))
    assert kept.of("mic 0", "speaker") is None
    assert kept.of("mic 1", "speaker") is not None


def test_a_link_in_the_daemons_directory_leads_root_to_no_other_file(tmp_path: Path):
    (tmp_path / "passwd").write_text("root:x")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).with_suffix(".new").symlink_to(tmp_path / "passwd")
    kept = CalibrationFile(tmp_path / "state")
    kept.keep(MEASURED)
    assert (tmp_path / "passwd").read_text() == "root:x"
    assert kept.of("mic", "speaker") == MEASURED


@pytest.mark.parametrize("text", ["{", "[1]", '[{"input": "mic"}]', "[[]]", '"x"'])
def test_a_damaged_file_is_moved_aside(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    kept = CalibrationFile(tmp_path)
    assert kept.of("mic", "speaker") is None
    kept.keep(MEASURED)
    assert kept.of("mic", "speaker") == MEASURED


def test_where_nothing_can_be_written_it_is_told_with_a_remedy(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as told:
        CalibrationFile(tmp_path / "file").keep(MEASURED)
    assert "root" in told.value.hint
