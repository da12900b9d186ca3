"""What every test starts from: one thread, so that tests beside each other do not fight for cores, and fixed seeds."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
