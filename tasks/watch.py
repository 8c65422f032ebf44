"""List the folders that images are read from, at every `dvc repro`: `python -m tasks.watch`."""

from tasks.configuration import files, form, listing
from tasks.stage import stage

if __name__ == "__main__":
    with stage():
        written = files.read(files.PARAMS)
        form.check_params(written)
        listing.write(written)
