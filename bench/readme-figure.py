"""Write README's first figure and sentence, between its markers, from the reference results.

python bench/readme-figure.py RESULTS REPORT-FOLDER      (from the repository's root)
"""

import re
import sys
import textwrap
from pathlib import Path

from convcross.analysis.crossover.crossover import crossovers
from convcross.report.page import summary

README = Path("README.md")

rows = crossovers([Path(sys.argv[1])])
(figure,) = Path(sys.argv[2]).glob("*-time.png")
sizes = sorted({row.N for row in rows})
seen = f"Time of one run against kernel size, and the crossover, for N = {sizes[0]} to {sizes[-1]}"
wrapper = textwrap.TextWrapper(100, break_on_hyphens=False, break_long_words=False)
first, *others = summary(rows)
paragraph = wrapper.fill(first)
wrapper.initial_indent, wrapper.subsequent_indent = "- ", "  "
paragraphs = "\n".join([paragraph, *([""] if others else []), *map(wrapper.fill, others)])
between = f"<!-- figure -->\n![{seen}]({figure})\n\n{paragraphs}\n<!-- /figure -->"
text = README.read_text(encoding="utf-8")
text = re.sub(r"<!-- figure -->\n.*?<!-- /figure -->", lambda _: between, text, flags=re.DOTALL)
README.write_text(text, encoding="utf-8")
