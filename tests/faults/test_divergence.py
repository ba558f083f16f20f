"""A loss that is lost: skipped, counted, gone back from with a lower rate, and in the end given up with its history."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from faults_tools import die, fork
from run_tools import Run, assert_equal_runs, identity, interrupt, resolved, states, trainer

from vaeglow.files import read_csv
from vaeglow.training.checkpoint import Checkpoints, Position
from vaeglow.training.optimise import Diverged
from vaeglow.training.trainer import Trainer

EPOCHS = 8  # of four steps
AT = ((5, 2), (5, 3), (6, 0))  # three in a row, max_bad_steps of the tests


def blow_up(at: tuple[tuple[int, int], ...] = AT, factor: float = float("nan"), rate: float = 0.0015) -> None:
    """Make the losses of these (epoch, step) bad, as long as the learning rate is above `rate`."""
    plain = Trainer.gradients

    def gradients(self: Trainer, index: torch.Tensor, step: int) -> tuple[torch.Tensor, dict]:
        loss, terms = plain(self, index, step)
        if (self.position.epoch, step) in at and self.rate(step) > rate:
            loss = loss * factor
        return loss, terms

    Trainer.gradients = gradients


@pytest.fixture
def blowing(monkeypatch) -> Callable[..., None]:
    """`blowing(...)`: blow_up in this process, undone at the end."""
    monkeypatch.setattr(Trainer, "gradients", Trainer.gradients)
    return blow_up


def config(**training: Any) -> dict[str, Any]:
    """Snapshots are taken after steps 7, 20 and 23."""
    return resolved("vae", epochs=EPOCHS, snapshots=[0.2, 0.6, 0.7], **training)


@pytest.fixture
def run(tmp_path, blobs_dir) -> Run:
    return Run(tmp_path, config(), blobs_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, blobs_dir) -> Run:
    """A run with one rollback, in one go, saved only at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "gradients", Trainer.gradients)
        blow_up()
        return Run(tmp_path_factory.mktemp("whole"), config(), blobs_dir).train()


@pytest.mark.faults("loss NaN for max_bad_steps in a row: rolled back")
def test_a_lost_loss_rolls_back_with_a_lower_rate(whole, run, lost):
    (event,) = whole.summary()["rollbacks"]
    # noticed at the first step of epoch 7; of the good states after epochs 5 and 6 the older is gone back to
    assert (event["at_epoch"], event["at_step"], event["to_epoch"]) == (7, 1, 5)
    rows = whole.rows()
    assert [float(row["learning_rate"]) for row in rows] == [0.002] * 4 + [0.001] * 4
    assert [int(row["epoch"]) for row in rows] == list(range(1, EPOCHS + 1))
    assert {row["skipped_steps"] for row in rows} == {"0"}
    # the epochs up to there are an undisturbed run's, the rest is what the lower rate makes of them
    plain = run.train().rows()
    assert plain[:4] == rows[:4]
    assert plain[4] != rows[4]
    assert run.summary()["rollbacks"] == []
    *_, last = read_csv(whole.history)
    seconds = whole.summary()["train_seconds_by_phase"][0]
    assert seconds >= float(last["seconds"]) + event["seconds"] > event["seconds"]  # with those discarded
    lost("epochs trained again", event["at_epoch"] - event["to_epoch"])


@pytest.mark.faults("loss {how} for max_bad_steps in a row: rolled back")
@pytest.mark.parametrize(("how", "factor"), [("infinity", float("inf")), ("explosion", 1e6)])
def test_other_ways_of_losing_it(how, factor, whole, run, blowing, lost):
    blowing(AT, factor)
    assert_equal_runs(run.train(), whole)
    lost("epochs trained again", 2)


@pytest.mark.faults("loss NaN for fewer steps: skipped, counted")
def test_a_few_bad_steps_are_skipped_and_counted(run, blowing, lost):
    blowing(AT[:2])
    summary = run.train().summary()
    assert summary["skipped_steps"] == 2 and summary["rollbacks"] == []
    assert [row["skipped_steps"] for row in run.rows()] == [*"00000200"]
    lost("updates", 2)


@pytest.mark.faults
def test_no_step_of_the_first_epoch_is_too_high(run, blowing):
    blowing(((0, 1),), 1e6)
    assert run.train().summary()["skipped_steps"] == 0


@pytest.mark.faults
@pytest.mark.parametrize("steps", [24, 25, 26, 30])
def test_stopped_before_and_after_a_rollback(steps, whole, run, blowing):
    """Of its 40 steps: 25 to the rollback, then from step 17 on again."""
    blowing()
    assert_equal_runs(interrupt(run, steps, save_minutes=10).train(), whole)


ROLLING_BACK = {
    "before it": (Checkpoints, "go_back"),
    "before its save": (Trainer, "save"),
    "after its save": (Checkpoints, "prune"),
}


def die_rolling_back(where: str) -> None:
    """In the child: the loss is lost, and the process dies in the rollback."""
    blow_up()
    owner, name = ROLLING_BACK[where]
    plain = getattr(owner, name)

    def dies(self, *arguments):
        position = arguments[-1] if owner is Checkpoints else self.position
        if where == "before it" or position.rollbacks:
            die()
        return plain(self, *arguments)

    setattr(owner, name, dies)


@pytest.mark.faults("SIGKILL inside a rollback")
@pytest.mark.parametrize("where", ROLLING_BACK)
def test_killed_inside_a_rollback(where, whole, run, blowing):
    fork(run, 0, die_rolling_back, where).ended(-9)
    blowing()
    assert_equal_runs(run.train(), whole)


@pytest.mark.faults
def test_the_newest_checkpoint_of_a_rollback_damaged(whole, run, blowing):
    blowing()
    newest, before, good = states(interrupt(run, 26))  # one step after the rollback
    names = ["001-0000000017", "001-0000000016", "000-0000000016"]
    assert [path.stem[17:] for path in (newest, before, good)] == names
    newest.write_bytes(newest.read_bytes()[:1000])
    _, position = Checkpoints(run.state, identity(run)).load()
    assert position.step == 0
    before.write_bytes(before.read_bytes()[:1000])  # what is left is the state gone back to: it comes by there again
    assert_equal_runs(run.train(), whole)


@pytest.mark.faults("loss NaN at every rate: stopped, history kept")
def test_after_the_last_rollback_it_stops_and_keeps_the_history(run, blowing):
    blowing(rate=0.0)
    with pytest.raises(Diverged) as caught:
        run.train()
    message = str(caught.value)
    assert "for 3 steps in a row in epoch 7, at learning rate 0.0005 after 2 rollbacks" in message
    assert "lower training.learning_rate or training.gradient_clip" in message
    _, _, path = message.rpartition(": ")
    rates = [(row["epoch"], float(row["learning_rate"])) for row in read_csv(path)]
    assert rates == [*zip("1234", [0.002] * 4, strict=True), ("5", 0.0005), ("6", 0.0005)]
    assert not run.model.exists()
    assert not run.history.exists()
    with pytest.raises(Diverged, match="after 2 rollbacks"):  # from its last checkpoint, the same again
        run.train()


@pytest.mark.faults
def test_without_rollbacks_it_stops_at_once(tmp_path, blobs_dir, blowing):
    blowing()
    with pytest.raises(Diverged, match=r"in epoch 7, at learning rate 0\.002: lower"):
        Run(tmp_path, config(rollbacks=0), blobs_dir).train()


@pytest.mark.faults
def test_a_good_state_is_a_hundredth_of_the_run():
    made = trainer(resolved("vae", epochs=1001))
    for epoch in range(25):
        made.position = Position(epoch=epoch, good=made.position.good)
        made.keep_good_state()
    assert made.position.good == [[0, 44], [0, 88]]


@pytest.mark.faults
def test_no_bad_streak_becomes_a_good_state(run, blowing, monkeypatch):
    kept = []  # the steps of the newest good states, in order
    plain = Checkpoints.save

    def save(self, steps, position, tensors):
        plain(self, steps, position, tensors)
        assert all(self.path(*name).exists() for name in position.good)
        kept.extend(good_steps for _, good_steps in position.good[-1:])

    monkeypatch.setattr(Checkpoints, "save", save)
    blowing(((1, 3), (2, 3), (3, 0)))
    run.train()
    assert list(dict.fromkeys(kept)) == [0, 4, 16, 20, 24, 28]
