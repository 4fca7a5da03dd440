"""REINFORCE on a cart that has to stay in the middle of a track."""
import random
from collections import deque
from itertools import count

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical

torch.set_num_threads(1)
torch.manual_seed(543)
np.random.seed(543)
random.seed(543)
eps = np.finfo(np.float32).eps.item()


class Track:
    def reset(self):
        self.state = np.random.uniform(-0.05, 0.05, size=2)
        return self.state

    def step(self, action):
        x, v = self.state
        v = v + (0.05 if action == 1 else -0.05) + np.random.normal(0, 0.02)
        x = x + v
        self.state = np.array([x, v])
        return self.state, 1.0, abs(x) > 1.0


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(2, 16)
        self.dropout = nn.Dropout(p=0.2)
        self.affine2 = nn.Linear(16, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.affine2(x), dim=1)


env = Track()
policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)


def select_action(state):
    probs = policy(torch.from_numpy(state).float().unsqueeze(0))
    m = Categorical(probs)
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode():
    R, returns = 0, deque()
    for r in policy.rewards[::-1]:
        R = r + 0.97 * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    loss = torch.cat([-lp * R for lp, R in zip(policy.saved_log_probs, returns)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]
    return loss.item()


def main():
    running_reward = 10
    for i_episode in count(1):
        state, ep_reward = env.reset(), 0
        for t in range(1, 60):  # Don't infinite loop while learning
            action = select_action(state)
            state, reward, done = env.step(action)
            policy.rewards.append(reward)
            ep_reward += reward
            if done:
                break
        running_reward = 0.05 * ep_reward + (1 - 0.05) * running_reward
        loss = finish_episode()
        if i_episode % 5 == 0:
            print(f'Episode {i_episode}\tLast: {ep_reward:.2f}\tAverage: {running_reward:.4f}'
                  f'\tloss {loss:.4f}')
        if running_reward > 40 or i_episode >= 35:
            print(f"Stopped; running reward is {running_reward:.4f}, last episode {t} steps")
            return policy


if __name__ == '__main__':
    main()
