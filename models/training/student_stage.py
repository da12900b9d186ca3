"""A hand encoder of half the work that learns to say what the bundled one says (Hinton et al. 2015).

Its embeddings lie in the teacher's space and its letters go through the teacher's head, so it can stand in the teacher's place
with the same experts. It learns on photographs, on drawn hands and on hands of real signing, each moved and relit anew; what they
show need not be known.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoint import EIGHT_BITS, load, save
from models.eight_bits import Subject, quantised
from models.features import HandEncoder, HandEncoderConfig
from models.training.backbones_stage import VIEWS, drawn_views, moved_views
from models.training.encoder_stage import measured
from models.training.hand_pools import HandPools
from models.training.int8_stage import hands, resized
from models.training.loop import RUNS, Run, Schedule, learn
from models.training.pruned import begin_as
from models.training.seen_clips import CLIPS

NAME = "hand_encoder"
HALF = HandEncoderConfig(channels=(48, 88, 128))
"""40 million multiplications a crop, the bundled one's 78."""
DRAWN, SIGNING = 16_000, 6_000
Loss = Callable[[nn.Module, tuple[Tensor, Tensor]], tuple[Tensor, dict[str, Tensor]]]


def train(
    data: Path, out: Path, *, minutes: float, seed: int = 0, clips: Path = CLIPS, views: int = VIEWS,
    config: HandEncoderConfig = HALF,
) -> dict[str, float]:  # fmt: skip
    """Trains for `minutes` of processor time on the hand encoder in `out` into `out`/student, in eight bits too; returns the
    held-out source's accuracy and how far its embeddings are from the teacher's."""
    teacher = load(HandEncoder, out, NAME).requires_grad_(False)
    student = new_student(teacher, config, seed)
    pictures = pictures_of(data, clips, views, seed)
    run = Run("student", student, seed, RUNS)
    schedule = Schedule(minutes, 2e-3, warmup_minutes=minutes / 20, half_on_cpu=True, clock=time.process_time)
    stream = moved_views(pictures, torch.full((len(pictures),), -1))
    best = learn(run, schedule, stream, loss_of(teacher), lambda line: print(line, flush=True))
    assert isinstance(best, HandEncoder)
    save(best, best.config, out / "student", NAME)
    _in_eight_bits(best, data, out / "student")
    return {**measured(best, data), "relative_error": distance(best, teacher, pictures)}


def new_student(teacher: HandEncoder, config: HandEncoderConfig, seed: int) -> HandEncoder:
    """A network that begins with the teacher's weightiest channels, where it has the same blocks, and with its head, which
    stays as it is."""
    torch.manual_seed(seed)
    student = HandEncoder(config)
    if (config.stem, config.blocks) == (teacher.config.stem, teacher.config.blocks):
        begin_as(student, teacher)
    student.symbols.load_state_dict(teacher.symbols.state_dict())
    student.symbols.requires_grad_(False)
    return student


def pictures_of(data: Path, clips: Path, views: int, seed: int) -> Tensor:
    """Views of photographs, drawn hands and hands of real signing, uint8 (N, 3, 64, 64)."""
    photographs, _ = drawn_views(data, views, seed)
    pools = HandPools(data, clips, torch.device("cpu"), most_drawn=DRAWN)
    found = [photographs]
    if pools.drawn is not None:
        found.append(pools.drawn.pictures[pools.drawn.draw(min(DRAWN, len(pools.drawn.pictures)))])
    if len(pools.signing.pictures):
        found.append(resized(pools.signing, min(SIGNING, len(pools.signing.pictures))))
    return torch.cat(found)


def loss_of(teacher: HandEncoder) -> Loss:
    """Distance of the embeddings, and of what the teacher's head makes of them.

    The student's last normalisation keeps its mean of 0 and variance of 1: what it says shall be the teacher's embedding itself,
    whatever the batch is made of.
    """

    def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(module, HandEncoder)
        pictures = batch[0] * 2 - 1
        with torch.no_grad():
            wanted = teacher.embed(pictures).float()
            scores = teacher.symbols(wanted).float().log_softmax(1)
        found = module.project(module.backbone(pictures)).float()
        apart = F.mse_loss(found, wanted)
        letters = F.kl_div(module.symbols(found).float().log_softmax(1), scores, reduction="batchmean", log_target=True)
        return apart + letters, {"apart": apart.detach(), "letters": letters.detach()}

    return loss


@torch.inference_mode()
def distance(student: HandEncoder, teacher: HandEncoder, pictures: Tensor, count: int = 512) -> float:
    """Length of the embeddings' differences over the teacher's length, on `count` of the pictures, evenly."""
    crops = pictures[:: max(1, len(pictures) // count)][:count].permute(0, 2, 3, 1).contiguous()
    wanted = teacher.eval()(crops)
    return float((student.eval()(crops) - wanted).norm() / wanted.norm())


def _in_eight_bits(student: HandEncoder, data: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = quantised(Subject(NAME, student, hands(data), Path(folder)))
        shutil.copyfile(made, out / f"{NAME}{EIGHT_BITS}")
