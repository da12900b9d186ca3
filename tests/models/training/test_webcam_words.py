"""Words put together from recordings of single letters."""

from pathlib import Path

import av
import numpy as np

from models.training import webcam_words
from models.video import frames

RECORDED = 200


def _record(path: Path) -> None:
    """A recording whose brightness is the frame's number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(RECORDED):
            picture = np.full((48, 64, 3), number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_a_letter_that_is_drawn_is_taken_whole_and_others_from_the_middle(tmp_path: Path) -> None:
    (tmp_path / "webcam_letters").mkdir()
    for letter in "AZ":
        _record(tmp_path / "webcam_letters" / f"{letter}.mp4")
    webcam_words.write(tmp_path, tmp_path / "words", words=["AZ"], frames_a_letter=6)
    shown = [float(picture.mean()) for picture in frames(tmp_path / "words" / "AZ.mp4")]
    still, drawn = shown[:6], shown[6:]
    assert still[0] >= RECORDED / 4 - 3 and still[-1] <= 3 * RECORDED / 4 + 3
    assert np.allclose(np.diff(still), 1, atol=1.5)
    assert any(abs(drawn[0] - first) <= 3 and abs(drawn[-1] - last) <= 3 for first, last in webcam_words.DRAWN["Z"]), (
        shown
    )
