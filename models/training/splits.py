"""What is never trained on, split by signer or video: a signer's frames are near-duplicates, so never at random."""

TRAINING_SOURCES = ("davidlee", "massey5", "t32rahman", "zarakiliz")
PERMISSIVE_SOURCES = ("davidlee", "t32rahman")
"""Those whose terms allow any use: public domain as stated by its author, and MIT; so are the digits (Apache-2.0)."""
HELD_OUT_SOURCES = frozenset({"mariia"})
HELD_OUT_VIDEOS = ("_4PBd_wiX_A", "_2u0MkRqpjA")


def letter_sources(*, permissive_only: bool) -> tuple[str, ...]:
    """The sources of letter photographs to learn from."""
    return PERMISSIVE_SOURCES if permissive_only else TRAINING_SOURCES


def is_held_out_video(name: str) -> bool:
    """Whether a How2Sign clip belongs to a video kept for evaluation."""
    return name.startswith(HELD_OUT_VIDEOS)
