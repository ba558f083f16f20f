"""A loss that is lost: skipped, counted, gone back from with a lower rate, and in the end given up with its history."""

from pathlib import Path

import pytest
import torch
from faults_tools import die, fork
from run_tools import Run, assert_equal_runs, identity, interrupt, resolved, states, trainer

from vaeglow.files import read_csv
from vaeglow.training.checkpoint import Checkpoints, Position
from vaeglow.training.optimise import Diverged
from vaeglow.training.trainer import Trainer

pytestmark = pytest.mark.faults
STEPS = 4  # in an epoch
EPOCHS, SNAPSHOTS = 8, [0.2, 0.6, 0.7]  # taken after steps 7, 20 and 23


def blow_up(at: tuple[tuple[int, int], ...], how: str = "nan", rate: float = 0.0015) -> None:
    """Make the steps at these (epoch, step) bad, as long as the learning rate is above `rate`."""
    plain = Trainer.train_step

    def train_step(self: Trainer, index: torch.Tensor, step: int, sums: dict) -> None:
        loss = self.model.loss
        if (self.position.epoch, step) in at and self.rate(step) > rate:
            factor = {"nan": float("nan"), "infinity": float("inf"), "explosion": 1e6}[how]
            self.model.loss = lambda *a: (loss(*a)[0] * factor, loss(*a)[1])
        try:
            plain(self, index, step, sums)
        finally:
            self.model.__dict__.pop("loss", None)

    Trainer.train_step = train_step


AT = ((5, 2), (5, 3), (6, 0))  # three in a row, max_bad_steps of the tests


@pytest.fixture
def blowing(monkeypatch):
    """`blowing(...)`: blow_up in this process, undone at the end."""
    monkeypatch.setattr(Trainer, "train_step", Trainer.train_step)
    return blow_up


def config(**training) -> dict:
    return resolved("vae", epochs=EPOCHS, snapshots=SNAPSHOTS, **training)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, blobs_dir) -> Run:
    """A run with one rollback, in one go, saved only at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", Trainer.train_step)
        blow_up(AT)
        return Run(tmp_path_factory.mktemp("whole"), config(), blobs_dir).train()


def test_a_lost_loss_rolls_back_with_a_lower_rate(whole, fault, tmp_path, blobs_dir):
    with fault("loss NaN for max_bad_steps in a row: rolled back") as tried:
        (event,) = whole.summary()["rollbacks"]
        # noticed at the first step of epoch 7; of the good states after epochs 5 and 6 the older is gone back to
        assert (event["at_epoch"], event["at_step"], event["to_epoch"]) == (7, 1, 5)
        assert [float(row["learning_rate"]) for row in whole.rows()] == [0.002] * 4 + [0.001] * 4
        assert [int(row["epoch"]) for row in whole.rows()] == list(range(1, EPOCHS + 1))
        assert {row["skipped_steps"] for row in whole.rows()} == {"0"}
        # the epochs up to there are an undisturbed run's, the rest is what the lower rate makes of them
        plain = Run(tmp_path, config(), blobs_dir).train()
        assert plain.rows()[:4] == whole.rows()[:4] and plain.rows()[4:] != whole.rows()[4:]
        assert plain.summary()["rollbacks"] == []
        *_, last = read_csv(whole.history)  # whose seconds are without those discarded
        assert (
            whole.summary()["train_seconds_by_phase"][0] >= float(last["seconds"]) + event["seconds"] > event["seconds"]
        )
        tried.lost("epochs trained again", event["at_epoch"] - event["to_epoch"])


@pytest.mark.parametrize("how", ["infinity", "explosion"])
def test_other_ways_of_losing_it(how, whole, tmp_path, blobs_dir, blowing, fault):
    blowing(AT, how)
    with fault(f"loss {how} for max_bad_steps in a row: rolled back") as tried:
        run = Run(tmp_path, config(), blobs_dir).train()
        assert_equal_runs(run, whole)
        tried.lost("epochs trained again", 2)


def test_a_few_bad_steps_are_skipped_and_counted(tmp_path, blobs_dir, blowing, fault):
    blowing(AT[:2])
    with fault("loss NaN for fewer steps: skipped, counted") as tried:
        run = Run(tmp_path, config(), blobs_dir).train()
        assert run.summary()["skipped_steps"] == 2 and run.summary()["rollbacks"] == []
        assert [row["skipped_steps"] for row in run.rows()] == ["2" if epoch == 5 else "0" for epoch in range(EPOCHS)]
        tried.lost("updates", 2)


def test_no_step_of_the_first_epoch_is_too_high(tmp_path, blobs_dir, blowing):
    blowing(((0, 1),), "explosion")
    assert Run(tmp_path, config(), blobs_dir).train().summary()["skipped_steps"] == 0


@pytest.mark.parametrize("steps", [6, 21, 22, 24, 25, 26, 30, 37])
def test_stopped_before_and_after_a_rollback(steps, whole, tmp_path, blobs_dir, blowing):
    """Of its 40 steps: 25 to the rollback, then from step 17 on again."""
    blowing(AT)
    run = interrupt(Run(tmp_path, config(), blobs_dir), steps, save_minutes=10)
    assert_equal_runs(run.train(), whole)


def die_rolling_back(where: str) -> None:
    """In the child: the loss is lost, and the process dies in the rollback."""
    blow_up(AT)
    owner, name = {
        "before it": (Checkpoints, "go_back"),
        "before its save": (Trainer, "save"),
        "after its save": (Checkpoints, "prune"),
    }[where]
    plain = getattr(owner, name)

    def dies(self, *arguments):
        here = next((a for a in arguments if isinstance(a, Position)), None) or self.position
        if where == "before it" or here.rollbacks:
            die()
        return plain(self, *arguments)

    setattr(owner, name, dies)


@pytest.mark.parametrize("where", ["before it", "before its save", "after its save"])
def test_killed_inside_a_rollback(where, whole, tmp_path, blobs_dir, blowing, fault):
    run = Run(tmp_path, config(), blobs_dir)
    with fault("SIGKILL inside a rollback"):
        child = fork(run, 0, die_rolling_back, where)
        assert child.wait() == -9, child.text("stderr")
        blowing(AT)
        assert_equal_runs(run.train(), whole)


def test_the_newest_checkpoint_of_a_rollback_damaged(whole, tmp_path, blobs_dir, blowing):
    blowing(AT)
    run = interrupt(Run(tmp_path, config(), blobs_dir), 26)  # one step after the rollback
    newest_of, before, _ = states(run)
    assert [path.name[17:-12] for path in states(run)] == ["001-0000000017", "001-0000000016", "000-0000000016"]
    newest_of.write_bytes(newest_of.read_bytes()[:1000])
    assert Checkpoints(run.state, identity(run)).load()[1].step == 0
    before.write_bytes(before.read_bytes()[:1000])  # what is left is the state gone back to: it comes by there again
    assert_equal_runs(run.train(), whole)


def test_after_the_last_rollback_it_stops_and_keeps_the_history(tmp_path, blobs_dir, blowing, fault):
    blowing(AT, rate=0.0)
    run = Run(tmp_path, config(rollbacks=2), blobs_dir)
    with fault("loss NaN at every rate: stopped, history kept"):
        with pytest.raises(Diverged) as caught:
            run.train()
        message = str(caught.value)
        assert "for 3 steps in a row in epoch 7, at learning rate 0.0005 after 2 rollbacks" in message
        assert "lower training.learning_rate or training.gradient_clip" in message and "\n" not in message
        history = Path(message.rpartition(": ")[2])
        rows = read_csv(history)
        assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
        assert [float(row["learning_rate"]) for row in rows] == [0.002] * 4 + [0.0005] * 2
        assert not run.model.exists() and not run.history.exists()
        with pytest.raises(Diverged, match="after 2 rollbacks"):  # from its last checkpoint, the same again
            run.train()


def test_without_rollbacks_it_stops_at_once(tmp_path, blobs_dir, blowing):
    blowing(AT)
    with pytest.raises(Diverged, match=r"in epoch 7, at learning rate 0\.002: lower"):
        Run(tmp_path, config(rollbacks=0), blobs_dir).train()


def test_a_good_state_is_a_hundredth_of_the_run():
    made = trainer(resolved("vae", epochs=1001))
    for epoch in range(25):
        made.position = Position(epoch=epoch, good=made.position.good)
        made.keep_good_state()
    assert made.position.good == [[0, 44], [0, 88]]


def test_no_bad_streak_becomes_a_good_state(tmp_path, blobs_dir, blowing, monkeypatch):
    kept, plain = [], Checkpoints.save  # the good states, each time they change

    def save(self, steps, here, *others):
        plain(self, steps, here, *others)
        if here.good and here.good not in kept[-1:]:
            kept.append(here.good)
            assert all(self.path(*name).exists() for name in here.good)

    monkeypatch.setattr(Checkpoints, "save", save)
    blowing(((1, 3), (2, 3), (3, 0)))
    Run(tmp_path, config(), blobs_dir).train()
    assert [names[-1][1] for names in kept] == [0, 4, 16, 20, 24, 28]
