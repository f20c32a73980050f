"""The committed EfficientNet-Lite0 weights and ImageNet labels, and the script that made them (see README.md)."""

from pathlib import Path

FOLDER = Path(__file__).parent
EFFICIENTNET_LITE0 = FOLDER / "efficientnet-lite0.npz"
IMAGENET_LABELS = FOLDER / "imagenet-labels.txt"
