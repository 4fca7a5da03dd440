# DQN on a tiny grid world of our own
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


@dataclass
class Args:
    exp_name: str = "dqn"
    seed: int = 1
    total_timesteps: int = 1200
    learning_rate: float = 2.5e-3
    buffer_size: int = 400
    gamma: float = 0.97
    tau: float = 1.0
    target_network_frequency: int = 100
    batch_size: int = 32
    start_e: float = 1
    end_e: float = 0.05
    exploration_fraction: float = 0.5
    learning_starts: int = 100
    train_frequency: int = 2


class GridEnv:
    """Walk to the corner of a 5x5 grid; the wind pushes now and then."""

    n_actions = 4

    def __init__(self, size=5, seed=0):
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.pos = np.zeros(2, dtype=np.int64)
        self.t = 0

    def reset(self):
        self.pos[:] = self.rng.integers(0, self.size - 1, size=2)
        self.t = 0
        return self.pos.astype(np.float32) / self.size

    def step(self, action):
        move = ((1, 0), (-1, 0), (0, 1), (0, -1))[action]
        self.pos += move
        if self.rng.random() < 0.1:
            self.pos[self.rng.integers(2)] -= 1
        np.clip(self.pos, 0, self.size - 1, out=self.pos)
        self.t += 1
        done = bool((self.pos == self.size - 1).all())
        return self.pos.astype(np.float32) / self.size, 1.0 if done else -0.02, done, self.t >= 40


class ReplayBuffer:
    def __init__(self, size):
        self.obs = np.zeros((size, 2), dtype=np.float32)
        self.next_obs = np.zeros((size, 2), dtype=np.float32)
        self.actions = np.zeros(size, dtype=np.int64)
        self.rewards = np.zeros(size, dtype=np.float32)
        self.dones = np.zeros(size, dtype=np.float32)
        self.size, self.pos, self.full = size, 0, False

    def add(self, obs, next_obs, action, reward, done):
        i = self.pos
        self.obs[i], self.next_obs[i] = obs, next_obs
        self.actions[i], self.rewards[i], self.dones[i] = action, reward, done
        self.pos += 1
        if self.pos == self.size:
            self.full, self.pos = True, 0

    def sample(self, n):
        idx = np.random.randint(0, self.size if self.full else self.pos, size=n)
        arrays = (self.obs, self.next_obs, self.actions, self.rewards, self.dones)
        return [torch.from_numpy(a[idx]) for a in arrays]


class QNetwork(nn.Module):
    def __init__(self, env):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, env.n_actions))

    def forward(self, x):
        return self.network(x)


def linear_schedule(start_e, end_e, duration, t):
    slope = (end_e - start_e) / duration
    return max(slope * t + start_e, end_e)


if __name__ == "__main__":
    args = Args()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)

    env = GridEnv(seed=args.seed)
    q_network = QNetwork(env)
    optimizer = optim.Adam(q_network.parameters(), lr=args.learning_rate)
    target_network = QNetwork(env)
    target_network.load_state_dict(q_network.state_dict())
    rb = ReplayBuffer(args.buffer_size)

    obs = env.reset()
    episode_return, returns = 0.0, []
    for global_step in range(args.total_timesteps):
        epsilon = linear_schedule(args.start_e, args.end_e,
                                  args.exploration_fraction * args.total_timesteps, global_step)
        if random.random() < epsilon:
            action = random.randrange(env.n_actions)
        else:
            action = int(torch.argmax(q_network(torch.from_numpy(obs))))
        next_obs, reward, terminated, truncated = env.step(action)
        episode_return += reward
        rb.add(obs, next_obs, action, reward, terminated)
        obs = next_obs
        if terminated or truncated:
            returns.append(episode_return)
            if len(returns) % 10 == 0:
                print(f"global_step={global_step}, episodic_return={episode_return:.3f}")
            obs, episode_return = env.reset(), 0.0

        if global_step <= args.learning_starts:
            continue
        if global_step % args.train_frequency == 0:
            s, s2, a, r, d = rb.sample(args.batch_size)
            with torch.no_grad():
                target_max, _ = target_network(s2).max(dim=1)
                td_target = r + args.gamma * target_max * (1 - d)
            old_val = q_network(s).gather(1, a[:, None]).squeeze()
            loss = F.mse_loss(td_target, old_val)
            if global_step % 200 == 0:
                print(f"  td_loss {loss.item():.6f} q {old_val.mean().item():.5f}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if global_step % args.target_network_frequency == 0:
            for t_param, q_param in zip(target_network.parameters(), q_network.parameters()):
                t_param.data.copy_(args.tau * q_param.data + (1.0 - args.tau) * t_param.data)

    print(f"episodes {len(returns)}, mean of the last ten {np.mean(returns[-10:]):.4f}")
    torch.save(q_network.state_dict(), f"{args.exp_name}.pt")
