"""Entry point: python main.py [epochs]"""
import random
import sys

import torch

from engine.trainer import Trainer
from model import MLP, Config


def main():
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    config = Config(epochs=epochs)
    torch.set_num_threads(1)
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    trainer = Trainer(MLP(config), config)
    best = trainer.fit()
    print(f"done, best validation loss {best:.6f}")


if __name__ == "__main__":
    main()
