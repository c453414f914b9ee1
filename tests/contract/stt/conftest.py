"""What is asserted in the suites that the stages inherit is told as fully as what stands in a test's own file."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.stt.contract", "tests.contract.stt.one_shot", "tests.contract.stt.service_contract"
)
