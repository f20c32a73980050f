"""README.md of an imported bundle, and the summary that `train.py --import` prints."""

from pathlib import Path
from typing import Any

from training.card import escape_markdown


def readme(card: dict[str, Any]) -> str:
    """Return README.md."""
    imported, agreement, size = card["imported"], card["export"]["agreement"], card["input"]
    heatmap = (
        "yes; exact, because the model ends in global average pooling and one dense layer"
        if imported["heatmap"]
        else "no; the model does not end in global average pooling and one dense layer"
    )
    return f"""# {card["name"]}

An image classifier with {card["labels"]:,} classes, imported from an existing model. It was neither trained nor evaluated here,
so the card's metrics are null.

| property | value |
|---|---|
| source | {imported["form"]} `{imported["file"]}`, SHA-256 `{imported["sha256"]}` |
| written by | {escape_markdown(imported["made_with"])} |
| input | {size["width"]}x{size["height"]} pixels, {card["resize"]} |
| input values | {imported["range"]}, {imported["range_found"]} |
| output | {imported["answers"]} |
| heatmap | {heatmap} |
| `model.tflite` | {card["export"]["precision"]}, {card["export"]["bytes"] / 1e6:.1f} MB |
| agreement with the source | the same top class for {agreement["same_top1"]:.0%} of {agreement["pictures"]} synthetic images; largest difference between two probabilities {agreement["max_difference"]:.1e} |

## Samples

{_sample_table(card["samples"])}
## Limits

- The model has only these classes. An image of anything else still gets one of them.
- A probability is the network's own estimate, not a guarantee.
- The accuracy was not measured here. If predictions look wrong, first check the order of the labels, the input values
  (`--range`) and how images are resized (`--resize`).

## Licence

The licence is that of the imported model and of the sample images; neither is known here.
"""  # noqa: E501 - a table


def summary(out: Path, card: dict[str, Any]) -> str:
    """Return what was detected about the model, and its prediction for each sample."""
    imported, size = card["imported"], card["input"]
    lines = [
        "",
        f"{out}: {card['version']}, {card['labels']:,} classes, {card['export']['bytes'] / 1e6:.1f} MB",
        f"  input    {size['width']}x{size['height']} pixels, values {imported['range']} ({imported['range_found']})",
        f"  output   {imported['answers']}",
        "  heatmap  "
        + ("yes" if imported["heatmap"] else "no: the model does not end in average pooling and one dense layer"),
    ]
    for sample in card["samples"]:
        expected, label = sample["expected"], sample["label"]
        wrong = f"  (true label: {label})" if label not in (None, expected["label"]) else ""
        file = Path(sample["file"]).name
        lines.append(f"  {file:<8} {expected['label']:<20} {expected['probability']:>6.1%}{wrong}")
    return "\n".join(lines)


def _sample_table(samples: list[dict[str, Any]]) -> str:
    if not samples:
        return "None.\n"
    rows = [
        f"| `{sample['file']}` | {escape_markdown(sample['label'] or 'unknown')} | "
        f"{escape_markdown(sample['expected']['label'])} | {sample['expected']['probability']:.1%} |"
        for sample in samples
    ]
    header = ["| file | true label | predicted label | probability |", "|---|---|---|---|"]
    return "\n".join([*header, *rows]) + "\n"
