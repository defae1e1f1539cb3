"""The proof of the report's speed runs; its 100,000 records are measured by ``make proofs``."""

import pytest

from proofs import report_speed


def test_a_small_report_is_within_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_speed.main(sizes=[64, 128], kernels=[3, 9], sets=1) == 0
    records, sets, seconds, held, *_ = capsys.readouterr().out.splitlines()[1].split()
    assert (records, sets) == ("40", "1")
    assert float(seconds) > 0
    assert float(held) > 0
