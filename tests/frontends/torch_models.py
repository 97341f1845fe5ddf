"""Models of PyTorch that the tests import: MobileNetV2, a DS-CNN, a ResNet for images of CIFAR's size, an LSTM classifier."""

from __future__ import annotations

from functools import lru_cache

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kilograd[torch]')")
from torch import nn  # noqa: E402


def conv_bn(i, o, k=3, stride=1, groups=1, act=nn.ReLU6):
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, expand):
        super().__init__()
        hidden = i * expand
        first = [conv_bn(i, hidden, 1)] if expand != 1 else []
        self.conv = nn.Sequential(*first, conv_bn(hidden, hidden, 3, stride, hidden), conv_bn(hidden, o, 1, act=None))
        self.skip = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


def divisible(v, by=8):
    n = max(by, int(v + by / 2) // by * by)
    return n + by if n < 0.9 * v else n


class MobileNetV2(nn.Module):
    SETTINGS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, width=0.35, classes=10, last=1280):
        super().__init__()
        i = divisible(32 * width)
        layers = [conv_bn(3, i, stride=2)]
        for expand, channels, count, stride in self.SETTINGS:
            o = divisible(channels * width)
            for n in range(count):
                layers.append(InvertedResidual(i, o, stride if n == 0 else 1, expand))
                i = o
        layers.append(conv_bn(i, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x):
        return self.classifier(nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


class DSCNN(nn.Module):
    """Keyword spotting: [1, 1, 49, 10]."""

    def __init__(self, classes=12, channels=64):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, channels, (10, 4), 2, (5, 1)), nn.BatchNorm2d(channels), nn.ReLU())
        blocks = [
            nn.Sequential(conv_bn(channels, channels, 3, 1, channels, nn.ReLU), conv_bn(channels, channels, 1, act=nn.ReLU))
            for _ in range(4)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.drop = nn.Dropout(0.4)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        return self.fc(self.drop(self.blocks(self.stem(x))).mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.conv2 = conv_bn(i, o, 3, stride, act=nn.ReLU), conv_bn(o, o, act=None)
        self.down = conv_bn(i, o, 1, stride, act=None) if stride != 1 or i != o else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return self.relu(y + (x if self.down is None else self.down(x)))


class ResNet(nn.Module):
    """ResNet-8: [1, 3, 32, 32]. The head reads a flattened image, so that its weights are permuted on import."""

    def __init__(self, classes=10):
        super().__init__()
        self.stem = conv_bn(3, 16, act=nn.ReLU)
        self.layers = nn.Sequential(Basic(16, 16, 1), Basic(16, 32, 2), Basic(32, 64, 2))
        self.pool = nn.AvgPool2d(4)
        self.fc = nn.Linear(64 * 2 * 2, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.layers(self.stem(x))), 1))


class LSTMClassifier(nn.Module):
    """Sequences [1, steps, features]."""

    def __init__(self, features=6, units=16, classes=4):
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.fc = nn.Linear(units, classes)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.fc(y[:, -1])


def synthetic(shape, classes, count, seed=0):
    """Samples of classes: a coarse pattern each, with noise over it."""
    coarse = (shape[0], *(min(d, 3) for d in shape[1:]))
    patterns = torch.randn(classes, *coarse, generator=torch.Generator().manual_seed(99))
    if len(shape) == 3:
        patterns = nn.functional.interpolate(patterns, size=shape[1:], mode="bilinear")
    else:
        patterns = nn.functional.interpolate(patterns, size=shape[1])
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (count,), generator=generator)
    return patterns[y] + 0.3 * torch.randn(count, *shape, generator=generator), y


def fitted(module, shape, classes, count=96):
    """The module in evaluation mode: batch normalizations know the statistics of the data, the last layer is fitted to its classes."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None  # the mean of what follows
            nn.init.uniform_(m.weight, 0.7, 1.3)
            nn.init.normal_(m.bias, std=0.2)
    for m in module.modules():
        if isinstance(m, InvertedResidual) and m.skip:
            nn.init.constant_(m.conv[-1][1].weight, 0.2)  # as training does: what a block adds is small
    head = [m for m in module.modules() if isinstance(m, nn.Linear)][-1]
    x, y = synthetic(shape, classes, count)
    seen = []
    with torch.no_grad():
        module.train()(x)
        hook = head.register_forward_hook(lambda layer, inputs, result: seen.append(inputs[0]))
        module.eval()(x)
        hook.remove()
        rows = torch.cat([seen[0], torch.ones(count, 1)], 1)
        targets = 4 * (nn.functional.one_hot(y, classes).float() - 1 / classes)
        found = torch.linalg.solve(rows.T @ rows + 2 * torch.eye(rows.shape[1]), rows.T @ targets)
        head.weight.copy_(found[:-1].T)
        head.bias.copy_(found[-1])
    return module


@lru_cache
def model(name):
    """(module in evaluation mode, shape of its input, classes)."""
    torch.manual_seed(1)
    build, shape, classes = {
        "mobilenet_v2": (MobileNetV2, (3, 40, 40), 10),
        "ds_cnn": (DSCNN, (1, 49, 10), 12),
        "resnet": (ResNet, (3, 32, 32), 10),
        "lstm": (LSTMClassifier, (12, 6), 4),
    }[name]
    return fitted(build(), shape, classes), shape, classes


MODELS = ("mobilenet_v2", "ds_cnn", "resnet", "lstm")
