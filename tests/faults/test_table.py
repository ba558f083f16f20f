"""The table that `make faults` prints."""

from faults_tools import table


def test_a_fault_has_a_row_and_what_failed_is_never_called_survived_or_free_of_loss():
    records = [("kill", True, "steps", 2.0), ("kill", True, "steps", 5.0), ("disk full", True, "nothing", None)]
    records += [("one", True, "steps", 2.0), ("one", False, "nothing", None), ("signal", False, "nothing", None)]
    assert table(records).splitlines()[2:] == [
        "| disk full | 1 | 1 | nothing |",
        "| kill | 2 | 2 | 2 to 5 steps |",
        "| one | 2 | 1 | 2 steps; not known of 1: see the failed tests |",
        "| signal | 1 | 0 | not known of 1: see the failed tests |",
    ]
