"""One module per stage; `python -m tasks.<stage>` is the stage's command."""

from tasks import parent

parent.follow()
