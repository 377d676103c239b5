"""The mathematics of image quality: PSNR, SSIM, LPIPS, Fréchet and kernel distances, intervals."""
