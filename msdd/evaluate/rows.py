"""Rows on codes, latents, classes, text and faces, below the table of metrics."""

from collections.abc import Mapping

# Headings, and whether a number is a share, written in per cent.
ROWS = {
    "codebook_usage": ("codebook used ↑", "share"),
    "codebook_perplexity": ("codebook perplexity ↑", "number"),
    "code_entropy": ("bits a token", "number"),
    "code_bits": ("bits an image", "number"),
    "latent_effective_dimension": ("effective dimension of latents", "number"),
    "latent_std": ("standard deviation of latents", "number"),
    "top1": ("top-1 ↑", "share"),
    "top1_original": ("top-1 of originals", "share"),
    "top5": ("top-5 ↑", "share"),
    "top5_original": ("top-5 of originals", "share"),
    "class_agreement": ("same class as original ↑", "share"),
    "text_accuracy": ("text lines read alike ↑", "share"),
    "text_accuracy_small": ("- small lines read alike ↑", "share"),
    "text_accuracy_medium": ("- medium lines read alike ↑", "share"),
    "text_accuracy_large": ("- large lines read alike ↑", "share"),
    "text_ned": ("text 1-NED ↑", "share"),
    "text_ned_small": ("- small text 1-NED ↑", "share"),
    "text_ned_medium": ("- medium text 1-NED ↑", "share"),
    "text_ned_large": ("- large text 1-NED ↑", "share"),
    "text_cer": ("text CER ↓", "share"),
    "text_cer_truth": ("text CER to transcripts ↓", "share"),
    "text_cer_truth_original": ("- CER of originals to transcripts ↓", "share"),
    "face_same": ("faces of the same person ↑", "share"),
    "face_same_small": ("- small faces of the same person ↑", "share"),
    "face_same_medium": ("- medium faces of the same person ↑", "share"),
    "face_same_large": ("- large faces of the same person ↑", "share"),
    "face_distance": ("distance of faces ↓", "number"),
    "face_distance_small": ("- distance of small faces ↓", "number"),
    "face_distance_medium": ("- distance of medium faces ↓", "number"),
    "face_distance_large": ("- distance of large faces ↓", "number"),
    "face_similarity": ("cosine of faces ↑", "number"),
    "face_count": ("faces an image that has any", "number"),
}


def more_rows(entries: Mapping[str, dict]) -> list[list[str]]:
    """What is measured of codes, latents, classes, text and faces, a row each."""
    return [
        [heading, *(row_cell(entry["metrics"].get(name), form) for entry in entries.values())]
        for name, (heading, form) in ROWS.items()
        if any(name in entry["metrics"] for entry in entries.values())
    ]


def row_cell(value: dict | float | None, form: str) -> str:
    """A number, or a share in per cent; with its interval, if it has one."""
    if value is None:
        return "–"
    ends = value if isinstance(value, dict) else {"mean": value, "low": None}
    texts = [
        f"{100 * x:.1f}" if form == "share" else f"{x:.4g}" if x < 1000 else f"{x:,.0f}"
        for x in (ends[key] for key in ("mean", "low", "high") if ends.get(key) is not None)
    ]
    unit = " %" if form == "share" else ""
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if texts[1:] else "") + unit


def judged(name: str, entry: dict) -> list[str]:
    """What the numbers of codes, latents, classes, text and faces are of."""
    lines, counted = [], entry.get("images_with", {})
    if codes := entry.get("codes"):
        lines.append(
            f"{name}: {codes['seen']:,} tokens seen of {codes['codebooks']} x {codes['codes']:,} "
            f"codes, {codes['dead']:,} of which never came; "
            f"{codes['nominal_bits']:,.0f} bits an image at most"
        )
    if latents := entry.get("latents"):
        lines.append(
            f"{name}: latents of {latents['channels']} channels at {latents['positions']:,.0f} "
            "positions an image; mean and deviation of each channel are in the JSON file"
        )
    if counted.get("top1"):
        lines.append(f"{name}: classes of {counted['top1']:,} images are known")
    if counted.get("text_accuracy"):
        have = "image has" if counted["text_accuracy"] == 1 else "images have"
        lines.append(f"{name}: {counted['text_accuracy']:,} {have} text, the others none")
    if counted.get("face_count"):
        counts = entry["per_image"]["face_count"]
        found = f"{sum(count or 0 for count in counts):,.0f}"
        lines.append(
            f"{name}: faces found: {found}, in {counted['face_count']:,} of {len(counts):,} images"
        )
    return lines
