"""``python -m convcross``"""

from convcross.cli.app import main

main()
