"""The table that `make faults` prints: what failed is never called survived, or free of loss."""

from faults_tools import table


def test_a_row_a_fault_with_the_span_of_what_was_lost():
    records = [("kill", True, "steps", 2.0), ("kill", True, "steps", 5.0), ("disk full", True, "nothing", None)]
    assert table(records).splitlines()[2:] == [
        "| disk full | 1 | 1 | nothing |",
        "| kill | 2 | 2 | 2 to 5 steps |",
    ]


def test_what_a_failed_try_cost_is_not_known():
    records = [("kill", True, "steps", 2.0), ("kill", False, "nothing", None), ("signal", False, "nothing", None)]
    assert table(records).splitlines()[2:] == [
        "| kill | 2 | 1 | 2 steps; not known of 1: see the failed tests |",
        "| signal | 1 | 0 | not known of 1: see the failed tests |",
    ]
