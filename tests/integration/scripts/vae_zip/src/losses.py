import torch

KL_WARMUP = 24
calls = {"elbo": 0}


def kl_weight(step):
    return 0.2 * min(1.0, step / KL_WARMUP)


def elbo(recon, x, mu, logvar):
    calls["elbo"] += 1
    reconstruction = ((recon - x) ** 2).sum(1).mean()
    kl = -0.5 * (1 + logvar - mu ** 2 - torch.exp(logvar)).sum(1).mean()
    return reconstruction, kl
