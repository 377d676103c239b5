"""Columns of distances, each headed by its network."""

import pytest

from msdd.page.table_view import described
from msdd.report.metric_columns import metric_column, metrics


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("fd_efficientnet_lite0", "FD-\nEffNetLite0 ↓"),
        ("fd_dinov2_l14", "FD-\nDINOv2-L14 ↓"),
        ("mind_efficientnet_lite2", "MIND-\nEffNetLite2 ↓"),
        ("cmmd", "CMMD ↓"),
        ("fdr_6", "FDr-\n6 ↓"),
        ("psnr_hvs", "PSNR-HVS ↑"),
        ("psnr_hvs_m", "PSNR-HVS-M ↑"),
        ("kd_inception", "KD-\nInception ↓"),
        ("kd_torch_fidelity_inception", "torch-fidelity's KD-\nInception ↓"),
        ("patch_fd_inception", "patch FD-\nInception ↓"),
        ("ms_ssim", "MS-SSIM ↑"),
    ],
)
def test_headings_name_the_network(name, heading):
    assert metric_column(name).title == heading


def test_what_is_told_of_a_metric_is_not_that_of_one_with_a_shorter_name():
    assert described("psnr_hvs_m").startswith("PSNR of luma")
    assert described("psnr") != described("psnr_hvs")


def test_a_distance_without_an_interval_is_a_number():
    cells = metrics({"metrics": {"mind_inception": {"mean": 2.0, "low": None, "high": None}}})
    assert cells["mind_inception"] == 2.0
