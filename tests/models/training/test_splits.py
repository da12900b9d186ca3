"""Evaluation data stays out of training."""

from models.training import splits


def test_held_out_signers_are_in_no_training_source() -> None:
    assert not splits.HELD_OUT_SOURCES & set(splits.TRAINING_SOURCES)


def test_held_out_videos_are_known_by_their_start() -> None:
    assert splits.is_held_out_video("_4PBd_wiX_A_3-5-rgb_front.mp4")
    assert not splits.is_held_out_video("_0-JkwZ9o4Q_10-5-rgb_front.mp4")
