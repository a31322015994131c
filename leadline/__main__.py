"""``python -m leadline`` is the ``leadline`` command."""

from leadline.main import main

main()
