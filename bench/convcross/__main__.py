"""``python -m convcross``"""

from convcross.cli import main

main()
