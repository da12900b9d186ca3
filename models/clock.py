"""The one clock and the one picture that every stage shares: steps at the frame rate, boxes on a fixed canvas."""

FRAME_RATE_HZ = 25
STEP_MS = 1000 // FRAME_RATE_HZ
CHUNK_FRAMES = 8
CHUNK_MS = CHUNK_FRAMES * STEP_MS

WIDTH, HEIGHT = 640, 480


def step_to_ms(step: int) -> int:
    """Media time at which a step begins."""
    return step * STEP_MS


def ms_to_step(time_ms: float) -> int:
    """The step that media time `time_ms` falls into."""
    return int(time_ms // STEP_MS)
