"""Give packaged models what says how much of their answers to keep and how far off these are; and their cards.

Usage: python scripts/calibrate_models.py NAME=CONFIG... [key=value ...]
Each was trained with that configuration and without crystals set aside for calibration: half of its development set,
drawn by composition, is fitted to, the other half calibrates.
Example: python scripts/calibrate_models.py pbe=configs/pbe-continued.yaml data.path=pbe
"""

import argparse
from pathlib import Path

from empnn import models
from empnn.training.calibration import calibrate
from empnn.training.config import load_config
from empnn.training.data import carved, prepare

PACKAGE = Path("src/empnn/models")


def main() -> None:
    """Calibrate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", metavar="NAME=CONFIG | key=value")
    named = [item.partition("=") for item in parser.parse_args().settings]
    overrides = [f"{key}={value}" for key, _, value in named if key not in models.packaged()]
    for name, _, path in named:
        if name not in models.packaged():
            continue
        config = load_config(path, overrides, whole=True)
        data = prepare(config)
        fit, apart = carved(*data.held_out, 0.5, config.train.seed)
        network, card = models.load_network(name)
        found = calibrate(network, data.corruptions, fit, apart)
        if found is None:
            raise SystemExit(f"{name}: too few crystals are held out")
        rare = {str(number): count for number, count in data.rare_elements.items()}
        models.write_card(PACKAGE / name, {**card, "rare_elements": rare, "errors": found.as_dict()})
        models.save_shrinkage(PACKAGE / name, found.shrinkage)
        models.save_error_head(PACKAGE / name, found.head)
        print(
            f"{name}: fitted to {found.fitted_to:,} crystals, calibrated by {found.calibrated_by:,}; {found.coverage}"
        )
        print(found.mean_errors)


if __name__ == "__main__":
    main()
