"""The one clock and the one picture that every stage shares: steps at the frame rate, boxes on a fixed canvas."""

FRAME_RATE_HZ = 25
STEP_MS = 1000 // FRAME_RATE_HZ
CHUNK_FRAMES = 8
CHUNK_MS = CHUNK_FRAMES * STEP_MS

WIDTH, HEIGHT = 640, 480
