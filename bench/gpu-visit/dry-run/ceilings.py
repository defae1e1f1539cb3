"""``convcross doctor --ceilings`` of a dry run: one short pass over small products and sets."""

from convcross.cli.app import main
from convcross.measure import ceilings

ceilings.SECONDS = 0.001
ceilings.MOST_PASSES = 1
ceilings.LARGEST_PRODUCT = ceilings.SMALLEST_PRODUCT
ceilings._sets = lambda least, most: [least, 1 << 20]

main()
