from dataclasses import dataclass, field

import torch.nn as nn


@dataclass
class Config:
    epochs: int = 10
    batch_size: int = 32
    hidden: int = 24
    max_lr: float = 0.02
    clip: float = 1.0
    seed: int = 11
    betas: tuple = field(default=(0.9, 0.95))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, config.hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(config.hidden, 3)
        )

    def forward(self, x):
        return self.net(x)
