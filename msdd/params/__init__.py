"""What an experiment is: the params file, its checks, presets and the lookup of its rows."""
