"""The card for people, and the last lines on the terminal, of a bundle that was imported."""

from pathlib import Path

from training.card import cell


def text(card: dict) -> str:
    """Return README.md."""
    imported, agreement, shape = card["imported"], card["export"]["agreement"], card["input"]
    heatmap = (
        "where the network looked: exact, since the graph ends in global average pooling and one dense layer"
        if imported["heatmap"]
        else "none: the graph does not end in global average pooling and one dense layer, which an exact one needs"
    )
    samples = "\n".join(
        f"| `{sample['file']}` | {cell(sample['label'] or 'not said')} | {cell(sample['expected']['label'])} | "
        f"{sample['expected']['probability']:.1%} |"
        for sample in card["samples"]
    )
    shown = f"| file | what it shows | answer | probability |\n|---|---|---|---|\n{samples}\n" if samples else "None.\n"
    return f"""# {card["name"]}

A classifier of {card["labels"]:,} classes that was made elsewhere and imported: nothing was trained or measured here, so the
card's metrics are null.

| | |
|---|---|
| made from | {imported["form"]} `{imported["file"]}`, sha256 `{imported["sha256"]}` |
| made with | {cell(imported["made_with"])} |
| input | {shape["width"]}x{shape["height"]} pixels, {card["resize"]} |
| values it was trained on | {imported["range"]}, {imported["range_found"]} |
| its output was taken as | {imported["answers"]} |
| heatmap | {heatmap} |
| `model.tflite` | {card["export"]["precision"]}, {card["export"]["bytes"] / 1e6:.1f} MB |
| agreement with the original | on {agreement["pictures"]} made-up pictures the same top class for {agreement["same_top1"]:.0%}; largest difference of a probability {agreement["max_difference"]:.1e} |

## Samples

{shown}
## Limits

- It knows these classes and nothing else: a picture of something else gets one of them all the same.
- A probability is the network's own estimate, not a guarantee.
- How good it is was not measured here: ask whoever trained it. If the answers look wrong, the labels' order, the values
  it was trained on or the way pictures are cut (`--range`, `--resize`) are the first to check.

## Licence

The licence is that of the model you imported, and of the sample pictures you gave: neither is known here.
"""  # noqa: E501 - a table


def summary(out: Path, card: dict) -> str:
    """Return what was found out about the model, for the terminal."""
    imported, shape = card["imported"], card["input"]
    lines = [
        "",
        f"{out}: {card['version']}, {card['labels']:,} classes, {card['export']['bytes'] / 1e6:.1f} MB",
        f"  input    {shape['width']}x{shape['height']}, values {imported['range']} ({imported['range_found']})",
        f"  output   {imported['answers']}",
        f"  heatmap  {'yes' if imported['heatmap'] else 'no: it does not end in average pooling and one dense layer'}",
    ]
    for sample in card["samples"]:
        answer, label = sample["expected"], sample["label"]
        shown = f"  (labelled {label})" if label not in (None, answer["label"]) else ""
        lines.append(f"  {Path(sample['file']).name:<8} {answer['label']:<20} {answer['probability']:>6.1%}{shown}")
    return "\n".join(lines)
